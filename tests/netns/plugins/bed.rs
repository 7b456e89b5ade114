//! A host for plugins: namespaces for pods, and calls of crilet's plugins and the reference's.

use std::path::Path;

use crilet_testkit::{Host, Output};
use serde_json::{Value, json};

/// Where crilet's plugins are linked on the host.
const OURS: &str = "/opt/crilet/cni";
/// Where Debian has the reference plugins.
const REFERENCE: &str = "/usr/lib/cni";

/// Whose plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    Ours,
    Reference,
}

impl Maker {
    pub(crate) const BOTH: [Self; 2] = [Self::Ours, Self::Reference];

    pub(crate) fn directory(self) -> &'static str {
        match self {
            Self::Ours => OURS,
            Self::Reference => REFERENCE,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Ours => Self::Reference,
            Self::Reference => Self::Ours,
        }
    }
}

/// What a plugin answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) output: Output,
}

impl Answer {
    /// The JSON that was answered; null when nothing was.
    pub(crate) fn json(&self) -> Value {
        if self.output.stdout.trim().is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.output.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.output))
    }

    /// The result of a call that must succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.output.status, 0, "{}", self.output);
        self.json()
    }

    /// Code and words (message, then details) of a call that must fail.
    #[track_caller]
    pub(crate) fn error(self) -> (u64, String) {
        assert_eq!(self.output.status, 1, "{}", self.output);
        let error = self.json();
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        (error["code"].as_u64().unwrap(), format!("{}; {}", text("msg"), text("details")))
    }
}

/// One call of a plugin.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) maker: Maker,
    pub(crate) plugin: &'a str,
    pub(crate) command: &'a str,
    pub(crate) container: &'a str,
    /// Name of the pod's namespace below `/run/netns`, or a path; empty when it is gone.
    pub(crate) namespace: &'a str,
    pub(crate) link: &'a str,
    pub(crate) args: &'a str,
    pub(crate) config: Value,
}

pub(crate) struct Bed {
    pub(crate) host: Host,
    /// Variables that plugins are called with beside those of the protocol.
    variables: std::cell::RefCell<Vec<(&'static str, String)>>,
}

impl Bed {
    /// A host with crilet's plugins linked.
    pub(crate) fn start() -> Self {
        let host = Host::start().unwrap();
        let program = env!("CARGO_BIN_EXE_crilet-cni");
        let listing = host.command(program).output().unwrap().stderr;
        let names = listing.lines().find_map(|line| line.strip_prefix("Plugins: ")).unwrap();
        let links = names.split(", ").map(|name| format!("ln -s {program} {OURS}/{name}\n"));
        let script = format!("mkdir -p {OURS}\n{}", links.collect::<String>());
        host.shell(&script).success().unwrap();
        Self { host, variables: std::cell::RefCell::default() }
    }

    /// Has plugins called from now on find other programs in place of some tools, given as name and
    /// path.
    pub(crate) fn shadow(&self, tools: &[(&str, &str)]) {
        self.sh("rm -rf /opt/shadow && mkdir /opt/shadow");
        for (name, program) in tools {
            self.sh(&format!("ln -s {program} /opt/shadow/{name}"));
        }
        self.set("PATH", "/opt/shadow:/usr/sbin:/usr/bin:/sbin:/bin");
    }

    /// Has plugins called from now on with a variable.
    pub(crate) fn set(&self, name: &'static str, value: &str) {
        self.variables.borrow_mut().push((name, value.to_owned()));
    }

    /// Makes the namespace of a pod.
    pub(crate) fn pod(&self, name: &str) {
        self.host.command("ip").args(["netns", "add", name]).success().unwrap();
    }

    /// Runs a shell script on the host and gives what it wrote.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        self.host.shell(script).success().unwrap()
    }

    /// Runs a shell script in a pod's namespace.
    #[track_caller]
    pub(crate) fn in_pod(&self, pod: &str, script: &str) -> String {
        let command = self.host.command("ip").args(["netns", "exec", pod, "sh", "-euc", script]);
        command.success().unwrap()
    }

    /// Calls a plugin.
    pub(crate) fn call(&self, call: &Call<'_>) -> Answer {
        let directory = call.maker.directory();
        let namespace = match call.namespace {
            "" => String::new(),
            path if path.starts_with('/') => path.to_owned(),
            name => format!("/run/netns/{name}"),
        };
        let program = Path::new(directory).join(call.plugin);
        let mut command = self
            .host
            .command(program)
            .env("CNI_COMMAND", call.command)
            .env("CNI_CONTAINERID", call.container)
            .env("CNI_NETNS", namespace)
            .env("CNI_IFNAME", call.link)
            .env("CNI_ARGS", call.args)
            .env("CNI_PATH", directory)
            .input(call.config.to_string());
        for (name, value) in self.variables.borrow().iter() {
            command = command.env(name, value);
        }
        Answer { output: command.output().unwrap() }
    }

    /// Calls a plugin for the pod `pod`, whose container has the same name and whose link is
    /// `eth0`.
    pub(crate) fn run(&self, maker: Maker, command: &str, pod: &str, config: &Value) -> Answer {
        let plugin = config["type"].as_str().unwrap();
        self.call(&Call {
            maker,
            plugin,
            command,
            container: pod,
            namespace: pod,
            link: "eth0",
            args: "",
            config: config.clone(),
        })
    }

    /// Attaches a pod by all plugins of a list, as libcni does, and gives the last result. Each
    /// plugin may be of another maker.
    #[track_caller]
    pub(crate) fn add(&self, makers: &[Maker], pod: &str, list: &Value) -> Value {
        let mut result = Value::Null;
        for (plugin, maker) in plugins(list).into_iter().zip(makers.iter().cycle()) {
            let config = with_previous(plugin, &result);
            result = self.run(*maker, "ADD", pod, &config).ok();
        }
        result
    }

    /// Checks a pod by all plugins of a list.
    #[track_caller]
    pub(crate) fn check(&self, maker: Maker, pod: &str, list: &Value, result: &Value) {
        for plugin in plugins(list) {
            self.run(maker, "CHECK", pod, &with_previous(plugin, result)).ok();
        }
    }

    /// Takes a pod away by all plugins of a list, the last one first. `result` may be null.
    #[track_caller]
    pub(crate) fn del(&self, maker: Maker, pod: &str, list: &Value, result: &Value) {
        for plugin in plugins(list).into_iter().rev() {
            self.run(maker, "DEL", pod, &with_previous(plugin, result)).ok();
        }
    }

    /// A table of both families, without counters; what is empty is left out.
    pub(crate) fn saved(&self, table: &str) -> String {
        self.sh(&format!(
            "for save in iptables-save ip6tables-save; do
                $save -t {table} | grep -e ^-A || true
                $save -t {table} | grep -e '^:.* -' | cut -d' ' -f1 | sort || true
            done"
        ))
    }

    /// Everything of the packet filter, both families and both tools, without counters.
    pub(crate) fn rules(&self) -> String {
        // Empty base chains that a tool made on the way are no rules.
        self.sh("for save in iptables-save ip6tables-save iptables-legacy-save; do
                echo \"# $save\"
                $save 2>/dev/null | sed -e 's/ \\[[0-9:]*\\]$//' | grep -v '^#' || true
            done
            nft -s list ruleset | grep -v '^#' || true")
    }
}

/// The configurations of a list's plugins, as libcni gives them.
pub(crate) fn plugins(list: &Value) -> Vec<Value> {
    let plugins = list["plugins"].as_array().unwrap().iter().map(|plugin| {
        let mut plugin = plugin.clone();
        plugin["name"] = list["name"].clone();
        plugin["cniVersion"] = list["cniVersion"].clone();
        plugin
    });
    plugins.collect()
}

/// A configuration with the result of the plugins before.
pub(crate) fn with_previous(mut config: Value, result: &Value) -> Value {
    if !result.is_null() {
        config["prevResult"] = result.clone();
    }
    config
}

/// The part of a configuration that runtimes fill in with a pod's ports.
pub(crate) fn ports(mappings: &[(u16, u16, &str)]) -> Value {
    let mapping = |(host, container, protocol): &(u16, u16, &str)| json!({ "hostPort": host, "containerPort": container, "protocol": protocol });
    json!({ "portMappings": mappings.iter().map(mapping).collect::<Vec<_>>() })
}

/// A result for comparison: newer reference plugins leave out an empty `dns`, Debian's do not.
pub(crate) fn comparable(mut result: Value) -> Value {
    if result["dns"] == json!({}) {
        result.as_object_mut().unwrap().remove("dns");
    }
    result
}
