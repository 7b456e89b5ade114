//! `crilet version`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::{connect, errors::CliError, global::Global, output, values::Format};

/// Options of `crilet version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Asks the runtime for its version and prints it beside crilet's.
pub(crate) async fn run(global: &Global, args: VersionArgs) -> Result<ExitCode, CliError> {
    let crilet = env!("CARGO_PKG_VERSION");
    let asked = async {
        let found = connect::found(global).await?;
        let version = found.version().await?;
        Ok::<_, CliError>((found, version))
    };
    let (found, version) = match asked.await {
        Ok(answer) => answer,
        Err(error) => {
            // Its own version it knows by itself.
            let written = match args.output {
                Format::Json => output::json(&json!({ "crilet": crilet })),
                Format::Text => output::data(&format!("crilet    {crilet}\n")),
            };
            written.map_err(CliError::Output)?;
            return Err(error);
        }
    };
    let endpoint = found.client.endpoint().to_string();
    let api = found.client.api_version().package();
    let written = match args.output {
        Format::Json => output::json(&json!({
            "crilet": crilet,
            "runtime": { "name": version.runtime_name, "version": version.runtime_version },
            "api": api,
            "endpoint": endpoint,
            "source": found.source.to_string(),
        })),
        Format::Text => output::data(&format!(
            "crilet    {crilet}\nruntime   {} {}\nAPI       {api}\nendpoint  {endpoint} ({})\n",
            version.runtime_name, version.runtime_version, found.source,
        )),
    };
    written.map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}
