use std::{fmt, path::Path, time::Duration};

use anyhow::{Context, Result};

use crate::{
    command::Service,
    host::{Host, Place},
    wait::wait_until,
};

/// Far longer than it takes, even on a busy machine.
const START: Duration = Duration::from_secs(120);
const PUSH: Duration = Duration::from_secs(300);

/// A user of a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Name of the user.
    pub user: String,
    /// Password of the user.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How a registry is to be.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// TCP port on 127.0.0.1 of the host.
    pub port: u16,
    /// Whom alone the registry serves; everyone without.
    pub login: Option<Login>,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self { port: 5000, login: None }
    }
}

/// A registry in a host, on 127.0.0.1; its images are in the host's memory.
#[derive(Debug)]
pub struct Registry<'host> {
    host: &'host Host,
    options: RegistryOptions,
    service: Service,
}

impl<'host> Registry<'host> {
    /// Starts a registry and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it does not answer within two minutes: with its log.
    pub fn start(host: &'host Host, options: RegistryOptions) -> Result<Self> {
        host.write(config_path(&options), config(&options))?;
        if let Some(login) = &options.login {
            let hashed = host
                .command("htpasswd")
                .args(["-i", "-n", "-B", "-C", "4", &login.user])
                .input(login.password.clone())
                .success()?;
            host.write(password_path(&options), hashed.trim())?;
        }
        let service = serve(host, &options)?;
        Ok(Self { host, options, service })
    }

    /// `127.0.0.1:PORT`, as image names begin with.
    #[must_use]
    pub fn address(&self) -> String {
        address(&self.options)
    }

    /// All that the registry has written.
    #[must_use]
    pub fn log(&self) -> String {
        self.service.log()
    }

    /// Ends the registry; its images stay.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn stop(&mut self) -> Result<()> {
        self.service.kill()
    }

    /// Starts the registry again, with the images it had.
    ///
    /// # Errors
    ///
    /// As [`Registry::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.service = serve(self.host, &self.options)?;
        Ok(())
    }

    /// Pushes an OCI archive as `name`, such as `library/mysql:5.7`.
    ///
    /// # Errors
    ///
    /// When the push fails: with what skopeo said.
    pub fn push(&self, archive: &Path, name: &str) -> Result<()> {
        let mut command = self
            .host
            .command("skopeo")
            .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"])
            .bound(PUSH);
        if let Some(login) = &self.options.login {
            command = command.arg(format!("--dest-creds={}:{}", login.user, login.password));
        }
        command
            .arg(format!("oci-archive:{}", archive.display()))
            .arg(format!("docker://{}/{name}", self.address()))
            .success()
            .with_context(|| format!("push `{name}`"))?;
        Ok(())
    }
}

fn address(options: &RegistryOptions) -> String {
    format!("127.0.0.1:{}", options.port)
}

fn config_path(options: &RegistryOptions) -> String {
    format!("/run/registry-{}/config.yml", options.port)
}

fn password_path(options: &RegistryOptions) -> String {
    format!("/run/registry-{}/htpasswd", options.port)
}

fn config(options: &RegistryOptions) -> String {
    let port = options.port;
    let mut config = format!(
        "version: 0.1\nlog: {{level: info, accesslog: {{disabled: false}}}}\n\
         storage: {{filesystem: {{rootdirectory: /var/lib/registry/{port}}}}}\n\
         http: {{addr: '{}'}}\n",
        address(options)
    );
    if options.login.is_some() {
        let path = password_path(options);
        config.push_str("auth: {htpasswd: {realm: test, path: ");
        config.push_str(&path);
        config.push_str("}}\n");
    }
    config
}

fn serve(host: &Host, options: &RegistryOptions) -> Result<Service> {
    let mut service =
        host.command("docker-registry").args(["serve", &config_path(options)]).spawn()?;
    let url = format!("http://{}/v2/", address(options));
    let ready = wait_until("an answer of the registry", START, || {
        service.expect_running().map_err(|error| error.to_string())?;
        let response = host.http_get(Place::Inside, &url).map_err(|error| format!("{error:#}"))?;
        let expected = if options.login.is_some() { 401 } else { 200 };
        if response.status == expected { Ok(()) } else { Err(format!("{response:?}")) }
    });
    ready.with_context(|| service.log())?;
    Ok(service)
}
