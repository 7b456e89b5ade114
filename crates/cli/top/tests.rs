use ratatui::{Terminal, backend::TestBackend};

use super::{
    backend::Ansi,
    keys::{self, Key},
    model::{Column, Model, Next},
    view,
};
use crate::stats::usage::{Kind, Measured, Network, Usage};

const MIB: u64 = 1 << 20;

fn measured(name: &str, kind: Kind, cpu: u64, memory: u64) -> Measured {
    let network = (kind == Kind::Pod).then(|| Network {
        received_bytes_per_second: Some(cpu * 100),
        sent_bytes_per_second: Some(10),
        ..Network::default()
    });
    Measured {
        name: name.to_owned(),
        kind,
        id: name.to_owned(),
        restarts: u32::from(name.ends_with("mysql")),
        usage: Usage {
            cpu_nanocores: Some(cpu * 10_000_000),
            memory_bytes: Some(memory * MIB),
            memory_limit_bytes: name.ends_with("mysql").then_some(512 * MIB),
            processes: Some(3),
            network,
            ..Usage::default()
        },
    }
}

fn model() -> Model {
    let mut model = Model::new(Column::Cpu, false);
    model.take(vec![
        measured("default/blog", Kind::Pod, 95, 500),
        measured("default/blog/mysql", Kind::Container, 5, 460),
        measured("default/blog/wordpress", Kind::Container, 90, 40),
        measured("test/idle", Kind::Pod, 0, 900),
        measured("test/idle/sleep", Kind::Container, 0, 900),
    ]);
    model
}

fn shown(model: &mut Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, model)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn pods_stand_above_their_containers() {
    insta::assert_snapshot!("wide", shown(&mut model(), 90, 10));
}

#[test]
fn a_small_terminal_shows_what_matters() {
    insta::assert_snapshot!("small", shown(&mut model(), 40, 10));
    insta::assert_snapshot!("tiny", shown(&mut model(), 20, 4));
    // Nothing is too small to be drawn on.
    for (width, height) in [(1, 1), (5, 2), (300, 1), (16, 3)] {
        shown(&mut model(), width, height);
    }
}

#[test]
fn containers_can_stand_alone_and_names_be_filtered() {
    let mut model = model();
    model.press(Key::Tab);
    model.press(Key::Char('m'));
    insta::assert_snapshot!("containers", shown(&mut model, 60, 8));
    for key in [Key::Char('/'), Key::Char('W'), Key::Char('o'), Key::Char('q')] {
        assert_eq!(model.press(key), Next::Stay, "letters go into the filter");
    }
    model.press(Key::Backspace);
    insta::assert_snapshot!("filtered", shown(&mut model, 60, 8));
    model.press(Key::Escape);
    assert_eq!(model.rows().len(), 3);
}

fn names(model: &Model) -> Vec<&str> {
    model.rows().iter().map(|row| row.name.as_str()).collect()
}

#[test]
fn rows_are_sorted_by_any_column_both_ways() {
    let mut model = model();
    assert_eq!(names(&model)[..2], ["default/blog", "default/blog/wordpress"]);
    model.press(Key::Right);
    assert_eq!(model.sort, Column::Memory);
    let all = ["test/idle", "test/idle/sleep", "default/blog", "default/blog/mysql"];
    assert_eq!(names(&model)[..4], all);
    model.press(Key::Char('r'));
    let all = ["default/blog", "default/blog/wordpress", "default/blog/mysql", "test/idle"];
    assert_eq!(names(&model)[..4], all);
    model.press(Key::Left);
    model.press(Key::Left);
    assert_eq!(model.sort, Column::Name);
    model.press(Key::Char('<'));
    assert_eq!(model.sort, Column::Restarts);
    // Of a pod that was not asked for, a container is there by itself.
    model.take(vec![measured("a/b/c", Kind::Container, 1, 1)]);
    assert_eq!(names(&model), ["a/b/c"]);
}

#[test]
fn the_mark_stays_on_its_row() {
    let mut model = model();
    let marked = |model: &Model| model.marked(&model.rows());
    assert_eq!(marked(&model), 0);
    model.press(Key::Char('j'));
    model.press(Key::Down);
    assert_eq!(marked(&model), 2);
    model.press(Key::Char('m'));
    assert_eq!(names(&model)[marked(&model)], "default/blog/mysql");
    model.press(Key::Char('G'));
    assert_eq!(marked(&model), 4);
    model.press(Key::Down);
    assert_eq!(marked(&model), 4);
    model.press(Key::PageUp);
    assert_eq!(marked(&model), 0);
    // Rows that do not fit are reached by scrolling.
    shown(&mut model, 60, 4);
    model.press(Key::End);
    shown(&mut model, 60, 4);
    assert_eq!(model.offset, 3);
    model.take(Vec::new());
    model.press(Key::Up);
    assert_eq!(marked(&model), 0);
}

#[test]
fn keys_are_read_as_terminals_send_them() {
    assert_eq!(keys::read(b"q/\x1b[A\x1bOB"), [Key::Char('q'), Key::Char('/'), Key::Up, Key::Down]);
    assert_eq!(keys::read(b"\x1b"), [Key::Escape]);
    assert_eq!(
        keys::read(b"\x03\x1a\r\t\x7f"),
        [Key::Interrupt, Key::Stop, Key::Enter, Key::Tab, Key::Backspace]
    );
    assert_eq!(keys::read(b"\x1b[5~\x1b[6~\x1b[H"), [Key::PageUp, Key::PageDown, Key::Home]);
    assert_eq!(
        keys::read(b"\x1b[15;2~x\x00"),
        [Key::Char('x')],
        "what is not known is passed over"
    );
    assert_eq!(keys::read("ä".as_bytes()), [Key::Char('ä')]);
    assert_eq!(model().press(Key::Char('q')), Next::Leave);
    assert_eq!(model().press(Key::Interrupt), Next::Leave);
}

#[test]
fn colours_are_left_out_where_nobody_wants_them() {
    let drawn = |colors: bool| {
        let mut model = model();
        model.colors = colors;
        let mut out = Vec::new();
        let mut terminal = Terminal::new(TestBackend::new(60, 6)).unwrap();
        terminal.draw(|frame| view::draw(frame, &mut model)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let area = buffer.area;
        let cells = (0..area.height).flat_map(|y| (0..area.width).map(move |x| (x, y)));
        let cells = cells.map(|(x, y)| (x, y, &buffer[(x, y)]));
        ratatui::backend::Backend::draw(&mut Ansi::new(&mut out), cells).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(drawn(true).contains("\x1b[0;33m"));
    let plain = drawn(false);
    assert!(!plain.contains(";33m") && plain.contains("\x1b[0;7m"), "{plain:?}");
}
