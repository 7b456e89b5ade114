//! crictl.yaml, and `crictl config`.

use std::{fs, io, path::Path};

use crilet_crictl::{
    config::{Config, ConfigError, KEYS},
    flags::Parsed,
    table::table,
};

use super::{
    Call, Result, print,
    report::{Fail, Level, Tried, kernel_words, log},
};

/// Clears a terminal, as crictl does before some of its tables, whatever it writes to.
pub(super) const CLEAR: &str = "\x1b[2J\x1b[H";

/// What crictl ignores, and crilet too, but not without a word.
const IGNORED: [&str; 3] = ["enable-tracing", "profile-cpu", "profile-mem"];

impl From<ConfigError> for Fail {
    fn from(error: ConfigError) -> Self {
        Self::Fatal(error.to_string())
    }
}

/// Reads the configuration that the line or the environment names, the default one, or the one beside
/// the program. Only a file that was named must be there and be right.
pub(super) fn load(global: &Parsed) -> Result<Config> {
    for option in IGNORED {
        if global.is_set(option) {
            log(Level::Warning, &format!("--{option} is ignored: crilet does not have it"));
        }
    }
    let named = Path::new(global.text("config"));
    let config = match read(named) {
        Err(Missing::NotFound) => {
            let own = std::env::current_exe().unwrap_or_default();
            let beside = own.with_file_name("crictl.yaml");
            if global.is_set("config") {
                let (named, beside) = (named.display().to_string(), beside.display().to_string());
                log(Level::Warning, &format!("there is no file {named:?}, trying {beside:?}"));
            }
            read(&beside).map_err(|missing| (beside, missing))
        }
        other => other.map_err(|missing| (named.to_owned(), missing)),
    };
    let config = match config {
        Ok(config) => config,
        Err((path, missing)) if global.is_set("config") => {
            let words = missing.words(&path);
            return Err(Fail::Fatal(format!("load config file: {words}")));
        }
        Err((_, Missing::NotFound)) => Config::default(),
        // crictl goes on without the file, and without a word.
        Err((path, Missing::Wrong(words))) => {
            let words = format!("{} is ignored: {words}", path.display());
            log(Level::Warning, &words);
            Config::default()
        }
    };
    let debug = if global.is_set("debug") { global.bool("debug") } else { config.debug };
    if debug || crate::connect::log_filter().is_some() {
        crate::faults::tell(u8::from(debug));
    }
    Ok(config)
}

enum Missing {
    NotFound,
    Wrong(String),
}

impl Missing {
    fn words(self, path: &Path) -> String {
        match self {
            Self::NotFound => format!("stat {}: no such file or directory", path.display()),
            Self::Wrong(words) => words,
        }
    }
}

fn read(path: &Path) -> std::result::Result<Config, Missing> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Missing::NotFound,
        io::ErrorKind::IsADirectory => Missing::Wrong(failed("read", path, &error)),
        _ => Missing::Wrong(failed("open", path, &error)),
    })?;
    Config::read(&text).map_err(|error| Missing::Wrong(error.to_string()))
}

/// Shows or changes options of the file.
pub(super) fn run(call: &Call) -> Result<()> {
    let path = Path::new(call.global.text("config"));
    if !path.exists() {
        write(&Config::read("")?, path)?;
    }
    let text = fs::read_to_string(path).map_err(|error| opened(path, &error));
    let mut config = text.and_then(|text| Config::read(&text).map_err(Fail::from));
    let config = config.as_mut();
    let config = match config {
        Ok(config) => config,
        Err(Fail::Fatal(words)) => return Err(Fail::Fatal(format!("load config file: {words}"))),
        Err(_) => return Ok(()),
    };
    if call.line.is_set("get") {
        return print(&format!("{}\n", config.get(call.line.text("get"))?));
    }
    if call.line.is_set("set") {
        for setting in call.line.list("set") {
            let pair = setting.split_once('=').filter(|(_, value)| !value.contains('='));
            let wrong = || Fail::Fatal(format!("incorrectly specified option: {setting}"));
            let (key, value) = pair.ok_or_else(wrong)?;
            config.set(key, value)?;
        }
        return write(config, path);
    }
    if call.line.bool("list") {
        let rows = KEYS.map(|key| vec![key.to_owned(), config.get(key).unwrap_or_default()]);
        let header = vec!["KEY".to_owned(), "VALUE".to_owned()];
        let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
        return print(&format!("{CLEAR}{}", table(&rows)));
    }
    let [key, rest @ ..] = call.line.arguments.as_slice() else { return Err(Fail::Help) };
    let value = rest.first().map_or("", String::as_str);
    let words =
        format!("No --get, --set or --list provided, setting key {key:?} to value {value:?}");
    log(Level::Info, &words);
    config.set(key, value).tried(format!("set {key:?} to {value:?}"))?;
    write(config, path)
}

fn opened(path: &Path, error: &io::Error) -> Fail {
    Fail::Fatal(failed("open", path, error))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> String {
    format!("{what} {}: {}", path.display(), kernel_words(error))
}

fn write(config: &Config, path: &Path) -> Result<()> {
    let text = config.write()?;
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        // In place: the file may be a link, and its owner and mode are somebody's choice.
        fs::write(path, text)
    });
    written.map_err(|error| opened(path, &error))
}
