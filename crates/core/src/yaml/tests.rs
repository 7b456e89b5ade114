use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// Prints a tree on one line: `line:column` before each value and key, quotes around text.
fn render(node: &Node) -> String {
    let value = match &node.value {
        Value::Scalar(Scalar { text, style: Style::Plain }) => text.clone(),
        Value::Scalar(Scalar { text, style: Style::Text }) => format!("{text:?}"),
        Value::Sequence(items) => {
            format!("[{}]", items.iter().map(render).collect::<Vec<_>>().join(" "))
        }
        Value::Mapping(entries) => {
            let entries = entries
                .iter()
                .map(|entry| format!("{} {}={}", entry.position, entry.key, render(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        }
    };
    format!("{}:{value}", node.position)
}

/// Prints the documents of a source that is read without complaint.
fn read(source: &str) -> String {
    let documents = parse(source.as_bytes()).unwrap().without_duplicates().unwrap();
    documents.iter().map(render).collect::<Vec<_>>().join("\n")
}

/// Prints why a source is refused.
fn refused(source: &[u8]) -> String {
    parse(source).and_then(Stream::without_duplicates).unwrap_err().to_string()
}

#[test]
fn json_as_people_write_it() {
    let tabs = "{\n\t\"a\": 1, # note\n\t\"b\": [\n\t\ttrue,\n\t],\n}\n";
    assert_eq!(read(tabs), "1:1:{2:2 a=2:7:1 3:2 b=3:7:[4:3:true]}");
    let dense = r#"{"a":"\/\u00e9\ud83d\ude00","b":{"c":[]},"d":null}"#;
    assert_eq!(
        read(dense),
        r#"1:1:{1:2 a=1:6:"/é😀" 1:29 b=1:33:{1:34 c=1:38:[]} 1:42 d=1:46:null}"#
    );
}

#[test]
fn yaml_as_people_write_it() {
    let block =
        "# head\nname: web\nargs: [-c, 'a b']\nlist:\n- x\n- \"1\"\ntext: |\n  one\n  two\n";
    assert_eq!(
        read(block),
        "2:1:{2:1 name=2:7:web 3:1 args=3:7:[3:8:-c 3:12:\"a b\"] \
         4:1 list=5:3:[5:3:x 6:3:\"1\"] 7:1 text=8:3:\"one\\ntwo\\n\"}"
    );
    assert_eq!(
        read("a: !!str 1\nb: ! 2\nc: !!int '3'\n"),
        "1:1:{1:1 a=1:10:\"1\" 2:1 b=2:6:\"2\" 3:1 c=3:10:3}"
    );
}

#[test]
fn line_ends_and_byte_order_mark_shift_nothing() {
    assert_eq!(read("a: 1\r\nb: 2\r\n"), read("a: 1\nb: 2\n"));
    assert_eq!(read("\u{feff}a: 1\n"), read("a: 1\n"));
}

#[test]
fn columns_count_characters() {
    assert_eq!(read("{名: 值, b: 2}"), "1:1:{1:2 名=1:5:值 1:8 b=1:11:2}");
}

#[test]
fn documents() {
    for empty in ["", "\n\n", "# nothing\n", "\u{feff}"] {
        assert_eq!(parse(empty.as_bytes()).unwrap().documents, [], "{empty:?}");
    }
    let several = parse(b"a: 1\n---\n---\nb: 2\n...\n# end\n").unwrap().documents;
    assert_eq!(several.iter().map(Node::is_null).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(render(&several[2]), "4:1:{4:1 b=4:4:2}");
}

#[test]
fn null_is_only_what_is_not_quoted() {
    let nodes = parse(b"[~, null, NULL, , '', \"null\", nULL]").map(|_| ());
    assert!(nodes.is_err(), "an empty item is no null");
    let stream = parse(b"[~, null, Null, NULL, '', \"null\", nULL]").unwrap();
    let Value::Sequence(items) = &stream.documents[0].value else { panic!("a list") };
    let nulls: Vec<bool> = items.iter().map(Node::is_null).collect();
    assert_eq!(nulls, [true, true, true, true, false, false, false]);
    assert!(parse(b"a:\n").unwrap().documents[0].get("a").unwrap().is_null());
}

#[test]
fn aliases_and_merge_keys_are_written_out() {
    assert_eq!(read("a: &x [1]\nb: *x\n"), "1:1:{1:1 a=1:7:[1:8:1] 2:1 b=1:7:[1:8:1]}");
    assert_eq!(
        read("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\n"),
        "1:1:{1:1 a=1:7:{1:8 b=1:11:1 1:14 c=1:17:2} 2:1 d=2:4:{2:13 b=2:16:3 1:14 c=1:17:2}}"
    );
    let two = parse(b"x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y]}\n").unwrap();
    assert_eq!(render(two.documents[0].get("z").unwrap()), "3:4:{1:8 a=1:11:1 2:14 b=2:17:2}");
    assert_eq!(read("'<<': 1\n"), "1:1:{1:1 <<=1:7:1}", "quoted, it is a key like any other");
}

#[test]
fn duplicate_keys_are_found_and_the_last_value_kept() {
    let stream = parse(b"a: 1\nb: {c: 1, c: 2}\na: 3\n").unwrap();
    assert_eq!(render(&stream.documents[0]), "1:1:{3:1 a=3:4:3 2:1 b=2:4:{2:11 c=2:14:2}}");
    let found: Vec<String> =
        stream.duplicates.iter().map(|key| format!("{} {}", key.position, key.key)).collect();
    assert_eq!(found, ["2:11 c", "3:1 a"]);
    assert_eq!(
        stream.without_duplicates().unwrap_err().to_string(),
        "line 2, column 11: key `c` is already given in line 2"
    );
}

#[test]
fn what_is_refused_and_how() {
    let cases: [(&[u8], &str); 19] = [
        (b"{\n \"a\": 1\n \"b\": 2}", "line 3, column 5: expected `,` or `}` before this"),
        (b"[\"a\"\n\"b\"]", "line 2, column 1: expected `,` or `]` before this"),
        (b"{\"a\": 1", "line 1, column 1: `{` is never closed"),
        (b"{\"a\": \"1", "line 1, column 7: this quote is never closed"),
        (b"}", "line 1, column 1: this bracket closes nothing"),
        (b"a: b: c", "line 1, column 5: mapping values are not allowed in this context"),
        (
            b"a:\n\t- 1",
            "line 2, column 2: tabs disallowed within this context (block indentation) \
             (indent with spaces)",
        ),
        (b"a: *x", "line 1, column 4: no anchor of that name before this alias"),
        (b"a: &x [*x]", "line 1, column 8: this alias stands inside what it refers to"),
        (b"a: {<<: 1}", "line 1, column 9: `<<` takes a mapping or a list of mappings"),
        (b"? [a]\n: 1", "line 1, column 3: a key cannot be a list or a mapping"),
        (b"a: !env 1", "line 1, column 9: tag `!env` has no meaning here"),
        (b"a: !!map [1]", "line 1, column 10: tag `!!map` has no meaning here"),
        (b"a: 1\nb: \xff", "line 2, column 4: not text in UTF-8"),
        (b"a: 1\nb\0", "line 2, column 2: holds a NUL byte"),
        (b"\xff\xfea\0", "line 1, column 1: encoded as UTF-16 (save it as UTF-8)"),
        (b"a: 1\na: 2", "line 2, column 1: key `a` is already given in line 1"),
        (b"a: 'x", "line 1, column 4: this quote is never closed"),
        (b"a: [1]]", "line 1, column 7: this bracket closes nothing"),
    ];
    for (source, expected) in cases {
        assert_eq!(refused(source), expected, "{}", String::from_utf8_lossy(source));
    }
}

#[test]
fn slashes_are_named_wherever_they_stand() {
    for (source, place) in [
        ("// a\n{\"a\": 1}", "line 1, column 1"),
        ("{\n  // a\n  \"a\": 1\n}", "line 2, column 3"),
        ("{\n  \"a\": \"1\" // a\n}", "line 2, column 12"),
        ("{\n  \"a\": 1, // a\n  \"b\": 1\n}", "line 2, column 11"),
        ("{\n  \"a\": // a\n  1\n}", "line 2, column 8"),
        ("[\n  // a\n  1]", "line 2, column 3"),
        ("//a: b\nc: d", "line 1, column 1"),
    ] {
        let expected =
            format!("{place}: `//` does not begin a comment (write comments as `# ...`)");
        assert_eq!(refused(source.as_bytes()), expected, "{source}");
    }
    assert!(refused(b"{\n /* a */\n \"a\": 1}").starts_with("line 2, column 2: `/*` does not"));
    // Text that only looks alike.
    assert_eq!(read("{a: //x, b: \"// y\"}"), "1:1:{1:2 a=1:5://x 1:10 b=1:13:\"// y\"}");
    assert_eq!(read("a: // b\n"), "1:1:{1:1 a=1:4:// b}");
}

#[test]
fn snippets_point_at_the_place() {
    let snippet = |source: &str| parse(source.as_bytes()).unwrap_err().snippet.unwrap();
    assert_eq!(snippet("a: 1\nb: c: d\n"), "2 | b: c: d\n  |     ^");
    assert_eq!(snippet("{\n\ta: }}\n"), "2 |  a: }}\n  |      ^");
    assert_eq!(snippet("{名: 值}}"), "1 | {名: 值}}\n  |         ^");
    let long = format!("{{a: \"{}\" b: 1, c: \"{}\"}}", "x".repeat(80), "y".repeat(80));
    let expected = format!(
        "1 | ...{}\" b: 1, c: \"{}...\n  | {}^",
        "x".repeat(28),
        "y".repeat(20),
        " ".repeat(33)
    );
    assert_eq!(snippet(&long), expected);
    assert_eq!(parse(b"a: {\n").unwrap_err().snippet.unwrap(), "1 | a: {\n  |    ^");
}

#[test]
fn size_depth_and_growth_are_limited() {
    let large = vec![b' '; MAX_BYTES + 1];
    assert_eq!(refused(&large), "line 1, column 1: larger than 10 MB");

    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert!(refused(nested(MAX_DEPTH + 1).as_bytes()).ends_with("nested deeper than 100 levels"));
    let mut block = String::new();
    for depth in 0..=MAX_DEPTH {
        writeln!(block, "{}a:", " ".repeat(depth)).unwrap();
    }
    assert!(refused(block.as_bytes()).ends_with("nested deeper than 100 levels"));

    let mut deep_by_alias = format!("a0: &a0 {}\n", nested(60));
    deep_by_alias.push_str("a1: &a1 [[[[[[[[[[[[[[[[[[[[*a0]]]]]]]]]]]]]]]]]]]]\n");
    assert!(parse(deep_by_alias.as_bytes()).is_ok());
    deep_by_alias.push_str("a2: &a2 [[[[[[[[[[[[[[[[[[[[*a1]]]]]]]]]]]]]]]]]]]]\n");
    assert!(refused(deep_by_alias.as_bytes()).ends_with("nested deeper than 100 levels"));
}

#[test]
fn a_small_file_does_not_become_a_large_tree() {
    let mut nodes = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(nodes, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    assert!(refused(nodes.as_bytes()).ends_with("too many values, aliases written out"));

    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1_000_000), vec!["*a"; 100].join(","));
    assert!(refused(text.as_bytes()).ends_with("too many values, aliases written out"));
}

/// A JSON value of text, lists and objects, and its source.
fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        "[a-zA-Z0-9 _.:#,'\\[\\]{}&*!|>%@`/-]{0,12}".prop_map(|text| format!("\"{text}\"")),
        any::<i64>().prop_map(|number| number.to_string()),
        Just("true".to_owned()),
        Just("null".to_owned()),
    ];
    scalar.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::btree_map("[a-z#:/ ]{0,6}", inner, 0..4).prop_map(|entries| {
                let entries = entries.iter().map(|(key, value)| format!("{key:?}:{value}"));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

/// Prints a tree as JSON, in the form that [`json`] writes.
fn print(node: &Node) -> String {
    match &node.value {
        Value::Scalar(Scalar { text, style: Style::Plain }) => text.clone(),
        Value::Scalar(Scalar { text, style: Style::Text }) => format!("\"{text}\""),
        Value::Sequence(items) => {
            format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(", "))
        }
        Value::Mapping(entries) => {
            let entries =
                entries.iter().map(|entry| format!("{:?}:{}", entry.key, print(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
    }
}

proptest! {
    #[test]
    fn any_json_is_read(source in json()) {
        let documents = parse(source.as_bytes()).unwrap().without_duplicates().unwrap();
        prop_assert_eq!(print(&documents[0]), source);
    }

    #[test]
    fn any_bytes_give_a_stream_or_an_error(source in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(parse(&source));
    }

    #[test]
    fn any_signs_give_a_stream_or_an_error(source in "[\\[\\]{}:,&*!|>'\"#%@`/ab1<~ \t\r\n-]{0,80}") {
        if let Err(error) = parse(source.as_bytes()) {
            let breaks = source.matches(['\n', '\r']).count();
            prop_assert!(error.position.line <= breaks + 1);
            prop_assert!(error.position.column <= source.chars().count() + 1);
        }
    }
}
