//! Plugins called as a runtime calls them.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench starts programs and takes the time itself"
)]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// Runs a program with this input to its end; gives the time that took, and what it said.
pub(crate) fn timed(mut command: Command, input: &str) -> Result<(Duration, Output)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let begin = Instant::now();
    let mut child = command.spawn()?;
    // Some programs read nothing, as VERSION of a plugin.
    drop(child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output()?;
    Ok((begin.elapsed(), output))
}

/// A directory of plugins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Maker(pub(crate) &'static str);

/// A pod with a namespace.
#[derive(Debug)]
pub(crate) struct Pod {
    container: String,
    name: String,
    first_port: u16,
    ports: u16,
    protocol: &'static str,
}

impl Maker {
    /// Calls a plugin; gives the time until it has ended, and its result.
    pub(crate) fn call(
        self,
        plugin: &str,
        command: &str,
        pod: &Pod,
        config: &Value,
    ) -> Result<(Duration, Value)> {
        let mut call = Command::new(format!("{}/{plugin}", self.0));
        call.env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", &pod.container)
            .env("CNI_NETNS", format!("/run/netns/{}", pod.name))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", self.0);
        let (time, output) =
            timed(call, &config.to_string()).with_context(|| format!("start {plugin}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{plugin} {command}: {said}");
        Ok((time, serde_json::from_str(&said).unwrap_or(Value::Null)))
    }
}

impl Pod {
    /// Makes the namespace of a pod.
    pub(crate) fn new(number: usize, first_port: u16, ports: u16) -> Result<Self> {
        let pod = Self {
            container: format!("{number:064x}"),
            name: format!("pod{number}"),
            first_port,
            ports,
            protocol: "tcp",
        };
        ip(&["netns", "add", &pod.name])?;
        Ok(pod)
    }

    /// The name of its namespace.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The same pod with ports of UDP.
    pub(crate) fn with_datagrams(self) -> Self {
        Self { protocol: "udp", ..self }
    }

    /// Removes the namespace, and waits until the kernel has settled.
    pub(crate) fn remove(self) -> Result<()> {
        ip(&["netns", "del", &self.name])?;
        thread::sleep(super::SETTLING);
        Ok(())
    }

    pub(crate) fn bridge(&self, previous: Option<&Value>) -> Value {
        let mut config = json!({
            "cniVersion": "1.0.0", "name": "bench", "type": "bridge", "bridge": "cni0",
            "isGateway": true, "ipMasq": true, "hairpinMode": true,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}]},
        });
        if let Some(previous) = previous {
            config["prevResult"] = previous.clone();
        }
        config
    }

    pub(crate) fn portmap(&self, previous: &Value) -> Value {
        let mapping = |offset: u16| {
            let (host, container) = (self.first_port + offset, 80 + offset);
            json!({ "hostPort": host, "containerPort": container, "protocol": self.protocol })
        };
        json!({
            "cniVersion": "1.0.0", "name": "bench", "type": "portmap", "snat": true,
            "runtimeConfig": {"portMappings": (0..self.ports).map(mapping).collect::<Vec<_>>()},
            "prevResult": previous,
        })
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let status = Command::new("ip").args(arguments).status()?;
    ensure!(status.success(), "ip {arguments:?} {status}");
    Ok(())
}

/// Does something to all at once; gives the time until the last one is done.
pub(crate) fn at_once<P: Sync, T: Send>(
    pods: &[P],
    act: impl Fn(&P) -> Result<T> + Sync,
) -> Result<(Duration, Vec<T>)> {
    let begin = Instant::now();
    let results: Vec<Result<T>> = thread::scope(|scope| {
        let threads: Vec<_> = pods.iter().map(|pod| scope.spawn(|| act(pod))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|result| result.unwrap_or_else(|_| anyhow::bail!("a thread died"))).collect()
    });
    let time = begin.elapsed();
    Ok((time, results.into_iter().collect::<Result<_>>()?))
}
