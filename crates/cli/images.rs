//! `crilet images`.

use std::{collections::BTreeSet, process::ExitCode};

use clap::Args;
use crilet_cri::{Client, v1};
use crilet_pod::FindError;

use crate::{connect, errors::CliError, global::Global, inspect::megabytes, output, values::Form};

/// How much of an id is shown.
const SHORT_ID: usize = 12;
/// Shortest part of an id that may stand for it.
const SHORTEST_PREFIX: usize = 3;

/// Options of `crilet images`.
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Only these: a name, an id or its beginning
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Only full ids, one per line
    #[arg(short, long, conflicts_with = "output")]
    quiet: bool,
    /// How to print them
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Prints the images of the machine, by name.
pub(crate) async fn run(global: &Global, args: ImagesArgs) -> Result<ExitCode, CliError> {
    let client = connect::client(global).await?;
    let mut images = client.list_images(None).await?;
    if !args.images.is_empty() {
        let mut ids = BTreeSet::new();
        for name in &args.images {
            ids.insert(find(&client, &images, name).await?);
        }
        images.retain(|image| ids.contains(&image.id));
    }
    if args.quiet {
        images.sort_by(|one, other| (&one.repo_tags, &one.id).cmp(&(&other.repo_tags, &other.id)));
        let ids: String = images.iter().map(|image| format!("{}\n", image.id)).collect();
        output::data(&ids).map_err(CliError::Output)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(images, args.output)
}

/// The id of an image that is called so.
async fn find(client: &Client, images: &[v1::Image], name: &str) -> Result<String, CliError> {
    let missing = || CliError::NothingNamed { kind: "image", name: name.to_owned() };
    if name.is_empty() {
        // containerd takes it for the beginning of any id.
        return Err(missing());
    }
    // The runtime knows what a short name stands for.
    if let Some(image) = client.image_status(name, false).await?.image {
        return Ok(image.id);
    }
    by_id(images, name)?.map(|image| image.id.clone()).ok_or_else(missing)
}

/// The image whose id begins so.
pub(crate) fn by_id<'a>(
    images: &'a [v1::Image],
    prefix: &str,
) -> Result<Option<&'a v1::Image>, FindError> {
    let bare = prefix.strip_prefix("sha256:").unwrap_or(prefix);
    if bare.len() < SHORTEST_PREFIX {
        return Ok(None);
    }
    let digest = |image: &v1::Image| image.id.trim_start_matches("sha256:").to_owned();
    let found: Vec<_> = images.iter().filter(|image| digest(image).starts_with(bare)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => {
            let candidates = several.iter().map(|image| digest(image).chars().take(13).collect());
            Err(FindError::Ambiguous { query: prefix.to_owned(), candidates: candidates.collect() })
        }
    }
}

/// Prints images by name.
pub(crate) fn print(mut images: Vec<v1::Image>, form: Form) -> Result<ExitCode, CliError> {
    images.sort_by(|one, other| (&one.repo_tags, &one.id).cmp(&(&other.repo_tags, &other.id)));
    let listed = || images.iter().map(ListedImage::from).collect::<Vec<_>>();
    let written = match form {
        Form::Json => output::json(&listed()),
        Form::Yaml => output::yaml(&listed()),
        Form::Name => {
            let names = images.iter().flat_map(names);
            output::data(&names.map(|name| format!("{name}\n")).collect::<String>())
        }
        Form::Table | Form::Wide => {
            let rows: Vec<_> = images.iter().flat_map(|image| rows(image, form)).collect();
            output::data(&output::table(header(form), &rows))
        }
    };
    written.map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// What `-o json` tells of an image.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedImage<'a> {
    id: &'a str,
    repo_tags: &'a [String],
    repo_digests: &'a [String],
    size: u64,
    pinned: bool,
}

impl<'a> From<&'a v1::Image> for ListedImage<'a> {
    fn from(image: &'a v1::Image) -> Self {
        Self {
            id: &image.id,
            repo_tags: &image.repo_tags,
            repo_digests: &image.repo_digests,
            size: image.size,
            pinned: image.pinned,
        }
    }
}

/// All names of an image, or what stands for one that has none.
fn names(image: &v1::Image) -> &[String] {
    match (image.repo_tags.as_slice(), image.repo_digests.as_slice()) {
        ([], []) => std::slice::from_ref(&image.id),
        ([], digests) => digests,
        (tags, _) => tags,
    }
}

fn header(form: Form) -> &'static [&'static str] {
    match form {
        Form::Wide => &["IMAGE", "TAG", "ID", "SIZE", "PINNED", "DIGEST"],
        _ => &["IMAGE", "TAG", "ID", "SIZE"],
    }
}

/// A row for each name of an image; one row for an image without.
fn rows(image: &v1::Image, form: Form) -> Vec<Vec<String>> {
    let id: String = image.id.trim_start_matches("sha256:").chars().take(SHORT_ID).collect();
    let names = match image.repo_tags.as_slice() {
        [] => vec![("<none>", "<none>")],
        tags => tags.iter().map(|tag| tag.rsplit_once(':').unwrap_or((tag, ""))).collect(),
    };
    let digest = image.repo_digests.first().and_then(|name| Some(name.split_once('@')?.1));
    let row = |(name, tag): (&str, &str)| {
        let mut row = vec![name.to_owned(), tag.to_owned(), id.clone(), megabytes(image.size)];
        if form == Form::Wide {
            let pinned = if image.pinned { "yes" } else { "no" };
            row.extend([pinned, digest.unwrap_or("-")].map(str::to_owned));
        }
        row
    };
    names.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_by_the_beginning_of_their_id() {
        let image = |id: &str| v1::Image { id: format!("sha256:{id}"), ..Default::default() };
        let images = [image("abc111"), image("abc222")];
        let found = |prefix| by_id(&images, prefix).map(|found| found.map(|i| i.id.clone()));
        assert_eq!(found("abc1").unwrap().unwrap(), "sha256:abc111");
        assert_eq!(found("sha256:abc2").unwrap().unwrap(), "sha256:abc222");
        assert_eq!(found("ab").unwrap(), None, "too short");
        assert_eq!(found("fff").unwrap(), None);
        assert_eq!(found("abc").unwrap_err().to_string(), "`abc` may be any of abc111, abc222");
    }
}
