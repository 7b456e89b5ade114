//! Where things are drawn: three columns of boxes, and lines between them.

use super::{Map, Pod};
use ipnet::IpNet;

/// Distances in pixels.
pub(super) const MARGIN: usize = 24;
pub(super) const LINE: usize = 18;
pub(super) const INSET: usize = 12;
/// Width of a letter of the font, with room for fonts that are wider.
const LETTER: usize = 8;
const GAP: usize = 14;
/// Between columns there is room for names of links.
const BETWEEN: usize = 150;
/// Room above the columns for the title.
const TITLE: usize = 44;

/// What a box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Uplink,
    Bridge,
    Pod,
}

/// A line of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) text: String,
    /// Whether it tells of trouble.
    pub(super) troubled: bool,
}

/// A box with lines of text, the first one its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Boxed {
    pub(super) kind: Kind,
    pub(super) lines: Vec<Words>,
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// A line from the right side of a box to the left side of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) from: (usize, usize),
    pub(super) to: (usize, usize),
    /// Written at its right end.
    pub(super) label: String,
}

/// The whole picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) boxes: Vec<Boxed>,
    pub(super) wires: Vec<Wire>,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Boxed {
    fn new(kind: Kind, lines: Vec<Words>) -> Self {
        let longest = lines.iter().map(|line| line.text.chars().count()).max().unwrap_or_default();
        let height = lines.len() * LINE + INSET;
        Self { kind, width: longest * LETTER + 2 * INSET, height, lines, x: 0, y: 0 }
    }

    fn left(&self) -> (usize, usize) {
        (self.x, self.y + self.height / 2)
    }

    fn right(&self) -> (usize, usize) {
        (self.x + self.width, self.y + self.height / 2)
    }
}

fn plain(text: impl Into<String>) -> Words {
    Words { text: text.into(), troubled: false }
}

fn named(name: &str, addresses: &[IpNet]) -> Vec<Words> {
    let addresses = addresses.iter().map(|net| plain(net.to_string()));
    std::iter::once(plain(name)).chain(addresses).collect()
}

fn pod(pod: &Pod) -> Boxed {
    let mut lines = named(&pod.name, &pod.addresses);
    lines.extend(
        pod.ports.iter().map(|port| Words { text: port.to_string(), troubled: port.troubled }),
    );
    Boxed::new(Kind::Pod, lines)
}

/// Columns: uplinks, bridges, pods. A bridge is at the height of the middle of its pods.
pub(super) fn picture(map: &Map) -> Picture {
    let uplinks: Vec<Boxed> = map
        .uplinks
        .iter()
        .map(|uplink| Boxed::new(Kind::Uplink, named(&uplink.name, &uplink.addresses)))
        .collect();
    let groups: Vec<(Boxed, Vec<(Boxed, String)>)> = map
        .bridges
        .iter()
        .map(|bridge| {
            let mut lines = named(&bridge.name, &bridge.addresses);
            lines.extend(bridge.unknown.iter().map(|name| plain(format!("{name} → ?"))));
            (Boxed::new(Kind::Bridge, lines), bridge.pods.iter().map(labelled).collect())
        })
        .collect();
    let others: Vec<(Boxed, String)> = map.others.iter().map(labelled).collect();
    let widest = |boxes: &mut dyn Iterator<Item = &Boxed>| boxes.map(|one| one.width).max();
    let first = widest(&mut uplinks.iter()).unwrap_or_default();
    let second = widest(&mut groups.iter().map(|(bridge, _)| bridge)).unwrap_or_default();
    let columns = [MARGIN, MARGIN + first + BETWEEN / 2, MARGIN + first + BETWEEN * 3 / 2 + second];
    let mut picture = Picture::default();
    let bottom = right_side(&mut picture, groups, others, columns);
    left_side(&mut picture, uplinks, bottom);
    let edges = picture.boxes.iter().map(|one| (one.x + one.width, one.y + one.height));
    let (width, height) = edges.fold((0, 0), |(w, h), (x, y)| (w.max(x), h.max(y)));
    (picture.width, picture.height) = (width + MARGIN, height + MARGIN);
    picture
}

fn labelled(one: &Pod) -> (Boxed, String) {
    (pod(one), one.host_link.clone().unwrap_or_else(|| one.link.clone()))
}

/// Places bridges and pods; gives where they end.
fn right_side(
    picture: &mut Picture,
    groups: Vec<(Boxed, Vec<(Boxed, String)>)>,
    others: Vec<(Boxed, String)>,
    [_, second, third]: [usize; 3],
) -> usize {
    let mut y = MARGIN + TITLE;
    for (mut bridge, pods) in groups {
        let top = y;
        let mut placed = Vec::new();
        for (mut pod, label) in pods {
            (pod.x, pod.y) = (third, y);
            y += pod.height + GAP;
            placed.push((pod, label));
        }
        let middle = (top + y.saturating_sub(GAP).max(top)) / 2;
        bridge.x = second;
        bridge.y = middle.saturating_sub(bridge.height / 2).max(top);
        y = y.max(bridge.y + bridge.height + GAP) + GAP;
        for (pod, label) in placed {
            picture.wires.push(Wire { from: bridge.right(), to: pod.left(), label });
            picture.boxes.push(pod);
        }
        picture.boxes.push(bridge);
    }
    for (mut pod, label) in others {
        (pod.x, pod.y) = (third, y);
        y += pod.height + GAP;
        // What is behind no bridge hangs at the host itself, on the left of the bridges.
        picture.wires.push(Wire { from: (second, pod.left().1), to: pod.left(), label });
        picture.boxes.push(pod);
    }
    y
}

/// Places uplinks in the middle of the height, and joins them with every bridge.
fn left_side(picture: &mut Picture, uplinks: Vec<Boxed>, bottom: usize) {
    let height: usize = uplinks.iter().map(|one| one.height + GAP).sum();
    let top = MARGIN + TITLE;
    let mut y = top + (bottom.saturating_sub(top)).saturating_sub(height) / 2;
    for mut uplink in uplinks {
        (uplink.x, uplink.y) = (MARGIN, y);
        y += uplink.height + GAP;
        let bridges = picture.boxes.iter().filter(|one| one.kind == Kind::Bridge);
        let wires: Vec<Wire> = bridges
            .map(|bridge| Wire { from: uplink.right(), to: bridge.left(), label: String::new() })
            .collect();
        picture.wires.extend(wires);
        picture.boxes.push(uplink);
    }
}
