use std::{fs, path::Path, time::Duration};

use super::{Config, ConfigError, Embedded, KEYS, document, example, read, read::parse};

fn parsed(text: &str) -> Result<Config, String> {
    parse(Path::new("config.yaml"), text.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_is_one_without_keys() {
    for text in ["", "# nothing\n", "{}", "---\n", "api:\nimages:\n  gcMaxAge:\n"] {
        assert_eq!(parsed(text), Ok(Config::default()), "{text:?}");
    }
}

#[test]
fn keys_are_read() {
    let config = parsed(
        "nodeName: web1\nlogLevel: crilet=debug,warn\napi: {socket: /tmp/s, group: adm}\n\
         restart: {initialBackoff: 500ms, maxBackoff: 1h}\nruntime: {embedded: never}\n\
         images: {gcHighPercent: 90%, gcLowPercent: 50, gcMaxAge: 7d, gcMinAge: 0}\n",
    )
    .unwrap();
    assert_eq!(config.node_name.as_deref(), Some("web1"));
    assert_eq!(config.log_level, "crilet=debug,warn");
    assert_eq!(
        (config.api.socket.as_path(), config.api.group.as_deref()),
        ("/tmp/s".as_ref(), Some("adm"))
    );
    assert_eq!(config.restart.initial, Duration::from_millis(500));
    assert_eq!(config.restart.max, Duration::from_secs(3600));
    assert_eq!(config.runtime.embedded, Embedded::Never);
    assert_eq!((config.images.gc_high_percent, config.images.gc_low_percent), (90, 50));
    assert_eq!(config.images.gc_max_age, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(config.images.gc_min_age, Duration::ZERO);
}

/// What the table shows of a default is what it reads as one, and every key has a value to show.
#[test]
fn every_key_reads_what_it_shows() {
    let sibling = |path: &str| match path {
        "api.tcp.listen" => "certFile: /c, keyFile: /k, tokenFile: /t",
        "api.tcp.certFile" => "listen: \"[::1]:1\", keyFile: /k, tokenFile: /t",
        "api.tcp.keyFile" => "listen: \"[::1]:1\", certFile: /c, tokenFile: /t",
        path if path.starts_with("api.tcp.") => {
            "listen: \"[::1]:1\", certFile: /c, keyFile: /k, clientCaFile: /a, tokenFile: /t"
        }
        _ => "",
    };
    for key in KEYS {
        let shown = (key.show)(&Config::default());
        assert_eq!(shown.is_none(), !key.example.is_empty(), "{}: a value or an example", key.path);
        let value = shown.clone().unwrap_or_else(|| key.example.to_owned());
        let mut parts: Vec<_> = key.path.split('.').collect();
        let last = parts.pop().unwrap();
        let others: Vec<_> = sibling(key.path)
            .split(", ")
            .filter(|other| !other.is_empty() && !other.starts_with(&format!("{last}:")))
            .collect();
        let others = others.iter().map(|other| format!(", {other}")).collect::<String>();
        let mut text = format!("{{{last}: \"{value}\"{others}}}").replace("\"[::1]", "\"[::1]");
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            text = text.replace(&format!("\"{value}\""), &value);
        }
        for parent in parts.iter().rev() {
            text = format!("{{{parent}: {text}}}");
        }
        let config = parsed(&text).unwrap_or_else(|error| panic!("{}: {error}", key.path));
        assert_eq!((key.show)(&config).as_deref(), Some(value.as_str()), "{}", key.path);
        if shown.is_none() {
            let changes = Config::default().changes(&config);
            assert!(changes.iter().any(|change| change.path() == key.path), "{}", key.path);
        }
    }
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let wrong = [
        "nodname: x\n",
        "api:\n  scoket: /x\n",
        "gcHighPercent: 3\n",
        "api: /run/x\n",
        "- a\n",
        "podsDir: pods\n",
        "podsDir: [a, b]\n",
        "relistInterval: 30\n",
        "relistInterval: 0\n",
        "relistInterval: 99999999999999999999d\n",
        "keepDeadContainers: \"1\"\nlogLevel: 'crilet=loud'\n",
        "images: {gcHighPercent: 101, gcLowPercent: -1, parallelPulls: 0}\n",
        "images:\n  gcLowPercent: 85\n",
        "restart: {initialBackoff: 10m}\n",
        "runtime: {embedded: atuo, endpoint: tcp://x}\n",
        "api: {tcp: {listen: 1.2.3.4:5}}\n",
        "api: {tcp: {tokenFile: /t}}\n",
        "api: {tcp: {listen: everywhere, certFile: /c}}\n",
        "nodeName: a\nnodeName: b\n",
        "nodeName: a\n---\nnodeName: b\n",
        "nodeName: 'a\n",
        "api:\n\tsocket: /x\n",
    ];
    let told = wrong.map(|text| format!("{text}=> {}\n", parsed(text).unwrap_err()));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_file_that_is_not_there_is_refused_only_where_it_was_named() {
    let missing = Path::new("/nowhere/config.yaml");
    assert_eq!(read(missing, false).unwrap(), Config::default());
    let error = read(missing, true).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
    assert_eq!(error.to_string(), "read `/nowhere/config.yaml`");
}

#[test]
fn a_reload_takes_the_keys_that_are_live() {
    let old = parsed("podsDir: /a\n").unwrap();
    let new = parsed("podsDir: /b\nlogLevel: debug\nimages: {parallelPulls: 9}\n").unwrap();
    let changes: Vec<_> = old.changes(&new).iter().map(|c| (c.path(), c.is_live())).collect();
    assert_eq!(changes, [("podsDir", false), ("logLevel", true), ("images.parallelPulls", true)]);
    let merged = old.with_live_keys_of(&new);
    let left: Vec<_> = merged.changes(&new).iter().map(|change| change.path()).collect();
    assert_eq!(left, ["podsDir"], "every live key and no other is taken");
    assert!(
        KEYS.iter().filter(|key| key.live).all(|key| { (key.show)(&merged) == (key.show)(&new) })
    );
}

/// Set this variable to write the page anew, after a change of the table.
const WRITE: &str = "CRILET_WRITE_GOLDEN";

#[test]
fn the_page_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, document()).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert!(
        kept == document(),
        "`docs/config.md` is not that of the table; {WRITE}=1 writes it anew"
    );
}

#[test]
fn the_example_changes_nothing_and_names_every_key() {
    let example = example();
    assert_eq!(parsed(&example), Ok(Config::default()));
    assert!(example.lines().all(|line| line.chars().count() <= 100), "{example}");
    let uncommented: String = example
        .lines()
        .skip_while(|line| !line.is_empty())
        .map(|line| line.strip_prefix('#').unwrap_or(line).to_owned() + "\n")
        .collect();
    let config = parsed(&uncommented).unwrap();
    let changed = Config::default().changes(&config).len();
    let without = KEYS.iter().filter(|key| !key.example.is_empty()).count();
    assert_eq!(changed, without, "{uncommented}");
    insta::assert_snapshot!(example);
}
