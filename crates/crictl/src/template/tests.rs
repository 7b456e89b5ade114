use proptest::prelude::*;

use super::{Template, TemplateError};
use crate::json::Json;

const DATA: &str = r#"{
    "status": {"id": "abc", "size": "5", "pid": 42, "labels": {"b.c/d": "two", "a": "one"},
               "mounts": [{"path": "/x"}, {"path": "/y"}], "none": null, "empty": [], "on": true},
    "items": ["one", "two", "three"]
}"#;

fn run(template: &str) -> Result<String, TemplateError> {
    Template::read(template)?.execute(&Json::read(DATA).unwrap())
}

fn fails(template: &str) -> String {
    run(template).unwrap_err().to_string()
}

/// What Go 1.26 writes for these, with the options that crictl sets.
#[test]
fn templates_give_what_go_gives() {
    let cases = [
        ("{{.status.id}}", "abc"),
        ("{{ .status.pid }}|{{len .items}}", "42|3"),
        ("{{range .status.mounts}}{{.path}} {{end}}", "/x /y "),
        ("{{range $i, $m := .status.mounts}}{{$i}}={{$m.path}},{{end}}", "0=/x,1=/y,"),
        ("{{range $k, $v := .status.labels}}{{$k}}={{$v}};{{end}}", "a=one;b.c/d=two;"),
        ("{{range .status.empty}}x{{else}}none{{end}}", "none"),
        ("{{range .items}}{{if eq . \"two\"}}{{continue}}{{end}}{{.}}{{end}}", "onethree"),
        ("{{range .items}}{{.}}{{break}}{{end}}", "one"),
        ("{{index .status.labels \"b.c/d\"}}", "two"),
        ("{{index .items 1}} {{(index .status.mounts 0).path}}", "two /x"),
        ("{{index .status.labels \"missing\"}}", "<no value>"),
        ("{{.status.none}}", "<no value>"),
        ("{{.status.labels}} {{.items}}", "map[a:one b.c/d:two] [one two three]"),
        ("{{json .status.labels}}", "{\"a\":\"one\",\"b.c/d\":\"two\"}\n"),
        ("{{.items | json}}", "[\"one\",\"two\",\"three\"]\n"),
        ("{{if .status.on}}yes{{else}}no{{end}}", "yes"),
        ("{{if .status.empty}}1{{else if .status.none}}2{{else}}3{{end}}", "3"),
        ("{{with .status}}{{.id}}{{$.items}}{{end}}", "abc[one two three]"),
        ("{{$x := .status.id}}{{$x}}{{$x = \"new\"}}{{$x}}", "abcnew"),
        ("a {{- /* nothing */ -}} b", "ab"),
        ("a  {{- .status.id -}}  b", "aabcb"),
        ("{{eq .status.pid \"42\"}} {{ne .status.id \"x\"}}", "true true"),
        ("{{eq 1 2 1}} {{lt 1 2}} {{ge 2.5 2.5}} {{gt \"b\" \"a\"}}", "true true true true"),
        ("{{and .status.on .status.id}} {{or .status.none \"d\"}} {{not true}}", "abc d false"),
        (
            "{{printf \"%-5s|%5s|%q|%v\" .status.id .status.id .status.id .status.pid}}",
            "abc  |  abc|\"abc\"|42",
        ),
        ("{{printf \"%05d %x %.2f %t %%\" 42 255 1.5 true}}", "00042 ff 1.50 true %"),
        ("{{printf \"%d %s\" .status.pid 5}}", "%!d(json.Number=42) %!s(int=5)"),
        ("{{printf \"%s\"}}", "%!s(MISSING)"),
        ("{{.status.id | printf \"%s-%s\" \"x\" | upper}}", "X-ABC"),
        ("{{title \"some words\"}} {{lower \"ABC\"}}", "Some Words abc"),
        ("{{print 1 2 \"a\" \"b\" 3}}{{println \"x\" 1}}", "1 2ab3x 1\n"),
        ("{{slice .status.id 1 2}}", "b"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{printf \"%X %c %e %g\" \"hi\" 65 1e6 1e6}}", "6869 A 1.000000e+06 1e+06"),
        ("{{print 1e6}} {{100000000.0}} {{1.5}}", "1e+06 1e+08 1.5"),
        ("{{\"}}\"}}{{`a\\n`}}", "}}a\\n"),
    ];
    for (template, expected) in cases {
        assert_eq!(run(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let cases = [
        ("{{", "template:1: an action is not closed"),
        ("\n{{.status.nope}}", "template:2: map has no entry for key \"nope\""),
        ("{{if .status}}", "`if` without its `end`"),
        ("{{end}}", "`end` without a beginning"),
        ("{{nope .}}", "function \"nope\" not defined"),
        ("{{define \"x\"}}{{end}}", "`define` is not supported"),
        ("{{html .}}", "function `html` is not supported"),
        ("{{.status.id.x}}", "can't evaluate field x in type string"),
        ("{{index .items 9}}", "error calling index: index out of range: 9"),
        ("{{eq .status.pid 42}}", "incompatible types for comparison: json.Number and int"),
        ("{{$nope}}", "undefined variable \"$nope\""),
        ("{{range .status.id}}{{end}}", "range can't iterate over abc"),
        ("{{break}}", "`break` outside of a range"),
        ("{{\"a}}", "not closed"),
        ("{{.items | }}", "a value or a function is missing"),
        ("{{(.items}}", "a bracket is not closed"),
        ("{{len}}", "wrong number of arguments"),
        ("{{nil}}", "nil is not a command"),
    ];
    for (template, expected) in cases {
        let error = fails(template);
        assert!(error.contains(expected), "{template}: {error}");
    }
}

proptest! {
    /// However broken, a template is an error at most.
    #[test]
    fn no_template_is_a_panic(parts in proptest::collection::vec(part(), 0..12)) {
        let template = parts.concat();
        drop(run(&template));
    }
}

fn part() -> impl Strategy<Value = String> {
    let words = [
        "{{", "}}", "{{-", "-}}", " ", "\n", ".", ".status", ".items", "$", "$x", ":=", "=", ",",
        "|", "(", ")", "\"", "`", "'", "\\", "range", "if", "else", "end", "with", "break", "len",
        "index", "printf", "%s", "%5.2f", "0x", "1e", "-", "+", "é", "/*", "*/", "nil", "eq",
        "slice",
    ];
    prop_oneof![
        4 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => ".{0,3}",
    ]
}
