//! The map as a picture that any browser shows, by itself or in a page.

use super::{
    Map,
    draw::{Boxed, INSET, Kind, LINE, MARGIN, Picture, Wire, picture},
};

const STYLE: &str = "text{font:13px 'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1b1f24}\
.name{font-weight:bold}.title{font-size:18px;font-weight:bold}.quiet{fill:#57606a}\
.trouble{fill:#b42318;font-weight:bold}.wire{fill:none;stroke:#8c959f;stroke-width:1.5}\
.label{font-size:11px;fill:#57606a}";

/// Pixels of a line below its name.
const STRAIGHT: usize = 96;

/// Draws it.
#[must_use]
pub fn svg(map: &Map) -> String {
    let Picture { boxes, wires, width, height } = picture(map);
    let mut lines = vec![
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">"
        ),
        format!("<title>Network of {}</title>", escaped(&map.node)),
        format!("<style>{STYLE}</style>"),
        format!("<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"),
        format!(
            "<text class=\"title\" x=\"{MARGIN}\" y=\"{}\">{}</text>",
            MARGIN + 14,
            escaped(&map.node)
        ),
    ];
    lines.extend(wires.iter().map(wire));
    lines.extend(boxes.iter().flat_map(boxed));
    lines.push("</svg>".to_owned());
    lines.join("\n") + "\n"
}

/// A page with the picture and the tree of text.
#[must_use]
pub fn html(map: &Map) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>Network of {}</title>\n\
         <style>body{{margin:24px;font-family:sans-serif}}pre{{font-size:13px}}</style>\n</head>\n\
         <body>\n{}<pre>{}</pre>\n</body>\n</html>\n",
        escaped(&map.node),
        svg(map),
        escaped(&super::text(map))
    )
}

fn wire(wire: &Wire) -> String {
    let ((x1, y1), (x2, y2)) = (wire.from, wire.to);
    // The end is straight where a name is written above it.
    let bend = if wire.label.is_empty() { x2 } else { x2.saturating_sub(STRAIGHT).max(x1) };
    let middle = (x1 + bend) / 2;
    let path = format!(
        "<path class=\"wire\" d=\"M{x1} {y1} C{middle} {y1} {middle} {y2} {bend} {y2} L{x2} {y2}\"/>"
    );
    if wire.label.is_empty() {
        return path;
    }
    format!(
        "{path}<text class=\"label\" text-anchor=\"end\" x=\"{}\" y=\"{}\">{}</text>",
        x2.saturating_sub(6),
        y2.saturating_sub(5),
        escaped(&wire.label)
    )
}

fn boxed(one: &Boxed) -> Vec<String> {
    let (fill, stroke) = match one.kind {
        Kind::Uplink => ("#eef4ff", "#4a78c2"),
        Kind::Bridge => ("#fff6e5", "#c28a2b"),
        Kind::Pod => ("#eefaf0", "#3f9152"),
    };
    let Boxed { x, y, width, height, .. } = one;
    let mut lines = vec![format!(
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"{fill}\" \
         stroke=\"{stroke}\" stroke-width=\"1.5\"/>"
    )];
    for (index, line) in one.lines.iter().enumerate() {
        let class = match (index, line.troubled) {
            (0, _) => "name",
            (_, true) => "trouble",
            _ => "quiet",
        };
        lines.push(format!(
            "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>",
            x + INSET,
            y + INSET / 2 + 13 + index * LINE,
            escaped(&line.text)
        ));
    }
    lines
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
