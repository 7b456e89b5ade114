//! Network configuration lists: read strictly enough to find mistakes before a runtime does.

use serde_json::{Map, Value};

/// Versions of the specification that a list may be written in; containerd 1.6 and Debian's
/// plugins do not take 1.1.0.
const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A network configuration list: plugins that are called in order for each pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflist {
    /// Version of the specification that plugins are to speak.
    pub cni_version: String,
    /// Name of the network; leases and chains of its pods carry it.
    pub name: String,
    /// Plugins in the order of addition.
    pub plugins: Vec<Plugin>,
    rest: Map<String, Value>,
}

/// One plugin of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// File name of the plugin's program.
    pub kind: String,
    /// Capabilities that the list grants it, such as `portMappings`.
    pub capabilities: Vec<String>,
    /// Everything that the list says to the plugin, `type` and `capabilities` included.
    pub settings: Map<String, Value>,
}

/// Why a text is no network configuration list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConflist {
    /// It is no JSON.
    #[error("not JSON")]
    Syntax(#[source] serde_json::Error),
    /// A part is missing or of the wrong kind.
    #[error("`{field}` {problem}")]
    Field {
        /// Path of the part, such as `plugins[1].type`.
        field: String,
        /// What it should be.
        problem: &'static str,
    },
}

impl Conflist {
    /// Reads a list and checks what every runtime needs of it.
    ///
    /// # Errors
    /// Names the first part that is missing or wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidConflist> {
        let value: Value = serde_json::from_str(text).map_err(InvalidConflist::Syntax)?;
        let Value::Object(mut rest) = value else {
            return Err(wrong("(the whole)", "must be an object"));
        };
        let cni_version = take_text(&mut rest, "cniVersion")?;
        if !VERSIONS.contains(&cni_version.as_str()) {
            return Err(wrong("cniVersion", "is no version of the specification"));
        }
        let name = take_text(&mut rest, "name")?;
        if !is_name(&name) {
            return Err(wrong(
                "name",
                "must be letters, digits, _ . - and begin with one of the first two",
            ));
        }
        let plugins = match rest.remove("plugins") {
            Some(Value::Array(plugins)) if !plugins.is_empty() => plugins,
            _ => return Err(wrong("plugins", "must be a list of at least one plugin")),
        };
        let plugins = plugins.into_iter().enumerate().map(|(index, plugin)| {
            Plugin::from_value(plugin)
                .map_err(|(field, problem)| wrong(&format!("plugins[{index}]{field}"), problem))
        });
        Ok(Self { cni_version, name, plugins: plugins.collect::<Result<_, _>>()?, rest })
    }

    /// The list as a file of it reads.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = self.rest.clone();
        let plugins = self.plugins.iter().map(|plugin| Value::Object(plugin.settings.clone()));
        object.insert("cniVersion".to_owned(), self.cni_version.clone().into());
        object.insert("name".to_owned(), self.name.clone().into());
        object.insert("plugins".to_owned(), plugins.collect());
        format!("{:#}\n", Value::Object(object))
    }

    /// Names of the programs that the list needs, address management included, each once.
    #[must_use]
    pub fn programs(&self) -> Vec<&str> {
        let mut programs = Vec::new();
        for plugin in &self.plugins {
            let address_management = plugin.settings.get("ipam").and_then(|ipam| ipam.get("type"));
            let names = [Some(plugin.kind.as_str()), address_management.and_then(Value::as_str)];
            for name in names.into_iter().flatten() {
                if !programs.contains(&name) {
                    programs.push(name);
                }
            }
        }
        programs
    }

    /// The plugin of a kind, if the list has it.
    #[must_use]
    pub fn plugin(&self, kind: &str) -> Option<&Plugin> {
        self.plugins.iter().find(|plugin| plugin.kind == kind)
    }
}

impl Plugin {
    /// Gives the path within the plugin and what is wrong there otherwise.
    fn from_value(value: Value) -> Result<Self, (&'static str, &'static str)> {
        let Value::Object(settings) = value else { return Err(("", "must be an object")) };
        let kind = match settings.get("type").and_then(Value::as_str) {
            Some(kind) if !kind.is_empty() && !kind.contains('/') => kind.to_owned(),
            _ => return Err((".type", "must be the file name of a plugin")),
        };
        let capabilities = match settings.get("capabilities") {
            None => Vec::new(),
            Some(Value::Object(map)) if map.values().all(Value::is_boolean) => map
                .iter()
                .filter(|(_, granted)| **granted == Value::Bool(true))
                .map(|(name, _)| name.clone())
                .collect(),
            Some(_) => return Err((".capabilities", "must map names to true or false")),
        };
        Ok(Self { kind, capabilities, settings })
    }
}

fn take_text(object: &mut Map<String, Value>, field: &str) -> Result<String, InvalidConflist> {
    match object.remove(field) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(wrong(field, "must be a text")),
        None => Err(wrong(field, "is missing")),
    }
}

fn wrong(field: &str, problem: &'static str) -> InvalidConflist {
    InvalidConflist::Field { field: field.to_owned(), problem }
}

fn is_name(name: &str) -> bool {
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    begins && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        Conflist::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_shipped_list_is_one_that_containerd_1_6_takes() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cni-config");
        let mut seen = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(path.extension().unwrap(), "conflist", "{path:?}");
            let list = Conflist::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert!(["0.4.0", "1.0.0"].contains(&list.cni_version.as_str()), "{path:?}");
            let portmap = list.plugin("portmap").unwrap();
            assert_eq!(portmap.capabilities, ["portMappings"], "{path:?}: ports would be ignored");
            assert_eq!(list.plugin("bridge").unwrap().settings["hairpinMode"], true, "{path:?}");
            seen += 1;
        }
        assert!(seen > 0);
    }

    #[test]
    fn writing_what_was_read_changes_nothing() {
        let text = r#"{"cniVersion":"1.0.0","name":"n","disableCheck":true,
            "plugins":[{"type":"bridge","ipam":{"type":"host-local"}},{"type":"bridge","x":1}]}"#;
        let list = Conflist::parse(text).unwrap();
        assert_eq!(Conflist::parse(&list.to_json()).unwrap(), list);
        assert!(list.to_json().contains("disableCheck"));
        assert_eq!(list.programs(), ["bridge", "host-local"]);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        assert_eq!(problem("{"), "not JSON");
        assert_eq!(problem("[]"), "`(the whole)` must be an object");
        assert_eq!(problem("{}"), "`cniVersion` is missing");
        assert_eq!(problem(r#"{"cniVersion":1}"#), "`cniVersion` must be a text");
        assert_eq!(
            problem(r#"{"cniVersion":"9"}"#),
            "`cniVersion` is no version of the specification"
        );
        let with = |rest: &str| problem(&format!(r#"{{"cniVersion":"1.0.0",{rest}}}"#));
        assert!(with(r#""name":"../x","plugins":[]"#).starts_with("`name` must be"));
        assert!(with(r#""name":"x","plugins":[]"#).starts_with("`plugins` must be a list"));
        let plugins =
            |list: &str| with(&format!(r#""name":"x","plugins":[{{"type":"a"}},{list}]"#));
        assert_eq!(plugins("3"), "`plugins[1]` must be an object");
        assert!(plugins(r#"{"type":"../sh"}"#).starts_with("`plugins[1].type` must be"));
        assert!(
            plugins(r#"{"type":"a","capabilities":["x"]}"#)
                .starts_with("`plugins[1].capabilities` must map")
        );
    }
}
