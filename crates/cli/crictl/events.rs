//! `crictl events`.

use crilet_crictl::{
    protojson::{self, Form},
    template::Template,
};

use super::{
    Call, Result, print, reach,
    report::{Fail, Tried},
    show,
};

pub(super) async fn run(call: &Call) -> Result<()> {
    let line = &call.line;
    if !line.arguments.is_empty() {
        return Err(Fail::Help);
    }
    let (form, text) = (line.text("output"), line.text("template"));
    let template = match form {
        "json" | "yaml" if text.is_empty() => None,
        "json" | "yaml" => {
            return Err(Fail::Fatal(format!("template can't be used with {form:?} format")));
        }
        "go-template" => Some(
            Template::read(text)
                .map_err(|error| Fail::Fatal(format!("failed to parse go-template: {error}")))?,
        ),
        other => return Err(Fail::Fatal(format!("don't support {other:?} format"))),
    };
    let client = reach::client(call).await?;
    let mut events = client.container_events().await.tried("getting container events")?;
    while let Some(event) = events.next().await.tried("getting container events")? {
        match (&template, form) {
            (Some(template), _) => {
                let value = protojson::of(&event, Form::Defaults).sorted();
                print(&match template.execute(&value) {
                    Ok(text) => format!("{text}\n"),
                    Err(error) => {
                        format!("failed to format container event with the error: {error}\n")
                    }
                })?;
            }
            (None, "yaml") => show::yaml(&event)?,
            (None, _) => show::json(&event)?,
        }
        if crate::output::reader_is_gone() {
            break;
        }
    }
    Ok(())
}
