//! How it is shown. Pure, but for the frame that is drawn on.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Table, TableState},
};

use super::model::{Column, Model};
use crate::{
    stats::{bytes, number, usage::Kind, usage::Measured},
    values,
};

/// What is left of names before columns are left out, where that is no more than half.
const LEAST_NAME: u16 = 24;
/// Percent of a processor, or of the memory that may be used, that somebody may want to look at.
const MUCH: f64 = 80.0;

/// What is shown of a column, and how wide it is.
struct Shown {
    column: Column,
    title: &'static str,
    width: u16,
}

/// By how much they matter: those at the end are left out first.
const SHOWN: [Shown; 7] = [
    Shown { column: Column::Cpu, title: "CPU %", width: 6 },
    Shown { column: Column::Memory, title: "MEMORY", width: 7 },
    Shown { column: Column::Share, title: "MEM %", width: 6 },
    Shown { column: Column::Pids, title: "PIDS", width: 5 },
    Shown { column: Column::Rx, title: "RX/S", width: 7 },
    Shown { column: Column::Tx, title: "TX/S", width: 7 },
    Shown { column: Column::Restarts, title: "RESTARTS", width: 8 },
];

/// Draws everything: totals, rows, and the keys where there is room.
pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model) {
    let area = frame.area();
    let line = |y: u16| Rect { x: 0, y, width: area.width, height: 1.min(area.height) };
    frame.render_widget(Paragraph::new(title(model)), line(0));
    let has_keys = area.height >= 5;
    let height = area.height.saturating_sub(if has_keys { 2 } else { 1 });
    draw_rows(frame, model, Rect { x: 0, y: 1, width: area.width, height });
    if has_keys {
        frame.render_widget(Paragraph::new(footer(model)), line(area.height - 1));
    }
}

fn title(model: &Model) -> Line<'static> {
    let (pods, containers, usage) = model.total();
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let count = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    let memory = usage.memory_bytes.map_or_else(|| "-".to_owned(), values::bytes);
    let mut parts = vec![
        Span::styled("crilet top", bold),
        Span::raw(format!("  cpu {}%  mem {memory}", usage.cpu_text())),
        Span::raw(format!("  {}, {}", count(pods, "pod"), count(containers, "container"))),
    ];
    if let Some(note) = &model.note {
        parts.insert(1, Span::styled(format!("  {note}"), colored(model, Color::Red)));
    }
    Line::from(parts)
}

fn footer(model: &Model) -> Line<'static> {
    if model.typing || !model.filter.is_empty() {
        let cursor = if model.typing { "_" } else { "" };
        return Line::from(format!("/{}{cursor}  Esc shows all", model.filter));
    }
    let dim = Style::new().add_modifier(Modifier::DIM);
    Line::styled("q quit  / filter  s sort  r reverse  Tab containers  j k", dim)
}

/// The columns that fit beside names.
fn fitting(width: u16) -> &'static [Shown] {
    let mut left = width.saturating_sub(LEAST_NAME.min(width / 2));
    let fits = |shown: &&Shown| {
        let needed = shown.width + 1;
        let fits = left >= needed;
        left = left.saturating_sub(needed);
        fits
    };
    let count = SHOWN.iter().take_while(fits).count();
    SHOWN.get(..count).unwrap_or(&SHOWN)
}

fn draw_rows(frame: &mut Frame<'_>, model: &mut Model, area: Rect) {
    let shown = fitting(area.width);
    let rows = model.rows();
    let marked = model.marked(&rows);
    let header = std::iter::once(("NAME", Column::Name));
    let header = header.chain(shown.iter().map(|shown| (shown.title, shown.column)));
    let header = header.map(|(title, column)| {
        let sorted = column == model.sort;
        let style = if sorted { Modifier::REVERSED } else { Modifier::BOLD };
        aligned(title.to_owned(), column).style(Style::new().add_modifier(style))
    });
    let widths = shown.iter().map(|shown| Constraint::Length(shown.width));
    let widths = std::iter::once(Constraint::Fill(1)).chain(widths);
    let body = rows.iter().map(|measured| row(model, measured, shown));
    let table = Table::new(body, widths)
        .header(Row::new(header))
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let selected = (!rows.is_empty()).then_some(marked);
    let mut state = TableState::new().with_offset(model.offset).with_selected(selected);
    frame.render_stateful_widget(table, area, &mut state);
    model.offset = state.offset();
    model.page = usize::from(area.height.saturating_sub(1));
}

fn aligned(text: String, column: Column) -> Cell<'static> {
    match column {
        Column::Name => Cell::new(text),
        _ => Cell::new(Line::from(text).right_aligned()),
    }
}

/// Containers stand below their pod, by their own name alone.
fn row(model: &Model, measured: &Measured, shown: &[Shown]) -> Row<'static> {
    let inner = measured.kind == Kind::Container && !model.containers_only;
    let name = match measured.name.rsplit_once('/') {
        Some((_, name)) if inner => format!("  {name}"),
        _ => measured.name.clone(),
    };
    let cells = shown.iter().map(|shown| {
        let (text, much) = cell(measured, shown.column);
        let style = if much { colored(model, Color::Yellow) } else { Style::new() };
        aligned(text, shown.column).style(style)
    });
    Row::new(std::iter::once(aligned(name, Column::Name)).chain(cells))
}

fn cell(measured: &Measured, column: Column) -> (String, bool) {
    let usage = &measured.usage;
    let network = usage.network.unwrap_or_default();
    match column {
        Column::Name => (measured.name.clone(), false),
        Column::Cpu => {
            let much = usage.cpu_nanocores.is_some_and(|cores| cores >= 800_000_000);
            (usage.cpu_text(), much)
        }
        Column::Memory => (bytes(usage.memory_bytes), false),
        Column::Share => match usage.memory_share() {
            Some(share) => (format!("{share:.1}"), share >= MUCH),
            None => ("-".to_owned(), false),
        },
        Column::Rx => (bytes(network.received_bytes_per_second), false),
        Column::Tx => (bytes(network.sent_bytes_per_second), false),
        Column::Pids => (number(usage.processes), false),
        Column::Restarts => (measured.restarts.to_string(), measured.restarts > 0),
    }
}

fn colored(model: &Model, color: Color) -> Style {
    if model.colors { Style::new().fg(color) } else { Style::new() }
}
