use std::{cell::RefCell, convert::Infallible};

use super::*;

fn lease(address: &str, text: &str) -> Lease {
    let (address, text) = (address.parse().unwrap(), text.to_owned());
    Lease { address, text, mark: Mark { number: 7, seconds: 8, nanoseconds: 9 } }
}

fn addresses(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn a_broken_index_is_none() {
    assert!(parse("").is_none());
    assert!(parse("1:2:3.000000004\n10.0.0.2").is_none());
    let index = parse("1:2:3.000000004\n10.0.0.2 5:6.000000007 0123\n").unwrap();
    assert_eq!(index.owners, "10.0.0.2 5:6.000000007 0123\n");
    assert_eq!(index.changed(), Some(SystemTime::UNIX_EPOCH + Duration::new(3, 4)));
}

#[test]
fn lines_come_and_go_alone() {
    let mut index = Index::default();
    for address in ["10.0.0.2", "10.0.0.22", "fd00::2"] {
        index.add(&lease(address, "one"));
    }
    index.add(&lease("10.0.0.22", "two"));
    assert_eq!(index.addresses_of("one"), addresses(&["10.0.0.2", "fd00::2"]));
    assert_eq!(index.addresses_of("two"), addresses(&["10.0.0.22"]));
    index.remove("10.0.0.2".parse().unwrap());
    index.remove("10.0.0.3".parse().unwrap());
    assert_eq!(index.addresses_of("one"), addresses(&["fd00::2"]));
    assert_eq!(index.addresses_of("two"), addresses(&["10.0.0.22"]));
    index.rebuild(&[lease("10.0.0.9", "one")]);
    assert_eq!(index.addresses_of("one"), addresses(&["10.0.0.9"]));
    assert!(index.addresses_of("two").is_empty());
}

#[test]
fn a_store_that_somebody_else_changed_is_not_current() {
    let directory = tempfile::tempdir().unwrap();
    let index = Index { stamp: stamp(directory.path()).unwrap(), ..Index::default() };
    assert!(index.is_current(directory.path()));
    fs::write(directory.path().join("10.0.0.2"), "one\r\neth0").unwrap();
    assert!(!index.is_current(directory.path()));
    assert!(!Index::default().is_current(directory.path()));
}

#[test]
fn lines_are_found_in_any_order() {
    let all = "10.0.0.2 a\n10.0.0.22 b\n10.0.0.3 c\n10.0.0.4 d\n";
    let found = |names: &[&str]| -> Vec<Option<&str>> {
        let mut before = Before::new(all);
        names.iter().map(|name| before.line_of(name)).collect()
    };
    assert_eq!(found(&["10.0.0.2", "10.0.0.22"]), [Some("10.0.0.2 a\n"), Some("10.0.0.22 b\n")]);
    // One that is new, one that is gone, one at another place, one twice.
    let names = ["lock", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.22", "10.0.0.22", "10.0.0.5"];
    let lines = ["10.0.0.2 a\n", "10.0.0.3 c\n", "10.0.0.4 d\n", "10.0.0.22 b\n", "10.0.0.22 b\n"];
    let lines = lines.map(Some);
    assert_eq!(found(&names), [&[None], &lines[..], &[None]].concat());
}

#[test]
fn marks_are_read_as_they_are_written() {
    let mark = Mark { number: 1844, seconds: 1_700_000_000, nanoseconds: 12 };
    assert_eq!(mark.to_string(), "1844:1700000000.000000012");
    assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
    assert_eq!(Mark::parse("1844"), None);
}

#[test]
fn only_files_that_are_new_or_young_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["10.0.0.2", "10.0.0.3", "10.0.0.4"];
    for name in names {
        fs::write(directory.path().join(name), name).unwrap();
    }
    let mark = |name: &str| Mark::of(&fs::metadata(directory.path().join(name)).unwrap());
    let files = |names: &[&str]| -> Vec<(String, Mark)> {
        names.iter().map(|name| ((*name).to_owned(), mark(name))).collect()
    };
    let asked = RefCell::new(Vec::new());
    let read = |address: IpAddr| {
        asked.borrow_mut().push(address);
        let text = address.to_string();
        Ok::<_, Infallible>(Some(Lease { address, mark: mark(&text), text }))
    };
    // Kept long after these files were made, as far as it says.
    let stamp = "1:2:99999999999.000000000".to_owned();
    let mut index = Index { stamp, ..Index::default() };
    index.refresh(files(&names[..2]).into_iter(), read).unwrap();
    assert_eq!(asked.take(), addresses(&names[..2]));
    index.refresh(files(&names[1..]).into_iter(), read).unwrap();
    assert_eq!(asked.take(), addresses(&names[2..]), "only what is new");
    assert!(index.addresses_of(names[0]).is_empty(), "what is gone");
    assert_eq!(index.addresses_of(names[1]), addresses(&names[1..2]));
    fs::remove_file(directory.path().join(names[1])).unwrap();
    fs::write(directory.path().join("other"), "").unwrap();
    fs::write(directory.path().join(names[1]), "again").unwrap();
    index.refresh(files(&names[1..]).into_iter(), read).unwrap();
    assert_eq!(asked.take(), addresses(&names[1..2]), "what was made again");
    // Kept in the same tick in which they were made.
    index.stamp = "1:2:1.000000000".to_owned();
    index.refresh(files(&names[1..]).into_iter(), read).unwrap();
    assert_eq!(asked.take(), addresses(&names[1..]));
}
