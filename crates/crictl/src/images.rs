//! Names of images as `crictl images` shows, sorts and filters them.

use std::cmp::Ordering;

use crilet_cri::v1::Image;
use regex::Regex;

/// What stands where an image has no name.
const NONE: &str = "<none>";

/// Why a `--filter` cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// None of the known ones.
    #[error("unknown filter flag: {0}")]
    Unknown(String),
    /// A pattern that is no regular expression.
    #[error("error parsing regexp: {0}")]
    Pattern(regex::Error),
}

/// Repository and digest of an image, by the first of its digests.
pub fn repository_and_digest(image: &Image) -> (String, String) {
    let Some(first) = image.repo_digests.first() else { return (NONE.into(), NONE.into()) };
    match first.split('@').collect::<Vec<_>>().as_slice() {
        [name, digest] => ((*name).to_owned(), (*digest).to_owned()),
        _ => ("errorName".to_owned(), "errorRepoDigest".to_owned()),
    }
}

/// Every name of an image with its tag; the repository and no tag if it has none.
pub fn names_and_tags(image: &Image) -> Vec<(String, String)> {
    let (repository, _) = repository_and_digest(image);
    if image.repo_tags.is_empty() {
        return vec![(repository, NONE.to_owned())];
    }
    let split = |tag: &String| match tag.rsplit_once(':') {
        Some((NONE, tag)) => (repository.clone(), tag.to_owned()),
        Some((name, tag)) => (name.to_owned(), tag.to_owned()),
        None => ("errorRepoTag".to_owned(), "errorRepoTag".to_owned()),
    };
    image.repo_tags.iter().map(split).collect()
}

/// The order of a listing: by tags where both have some, else by digests, else by ids.
pub fn order(a: &Image, b: &Image) -> Ordering {
    let pairs = [(&a.repo_tags, &b.repo_tags), (&a.repo_digests, &b.repo_digests)];
    let named = pairs.into_iter().find_map(|(a, b)| Some(a.first()?.cmp(b.first()?)));
    named.unwrap_or_else(|| a.id.cmp(&b.id))
}

/// Sorts images, however inconsistent their order: it compares different things of different images,
/// and the standard library's sort may refuse such an order.
pub fn sort(images: &mut [Image]) {
    for end in 1..images.len() {
        let mut at = end;
        while at > 0 {
            match (images.get(at - 1), images.get(at)) {
                (Some(before), Some(after)) if order(after, before) == Ordering::Less => {}
                _ => break,
            }
            images.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// Keeps what all filters let through: `dangling=`, `reference=`, `before=` and `since=`.
///
/// The last two cut the sorted listing where the named image stands, as crictl does; that has nothing
/// to do with when images were made.
///
/// # Errors
/// [`FilterError`] for what is no filter.
pub fn filter(mut images: Vec<Image>, filters: &[String]) -> Result<Vec<Image>, FilterError> {
    for filter in filters {
        match filter.split_once('=') {
            Some(("before", mark)) => {
                let rest = images.iter().rev().cloned().collect();
                images = up_to(mark, rest);
                images.reverse();
            }
            Some(("since", mark)) => images = up_to(mark, images),
            Some(("dangling", wanted)) => images.retain(|image| match wanted {
                "true" => image.repo_tags.is_empty(),
                "false" => !image.repo_tags.is_empty(),
                _ => false,
            }),
            Some(("reference", pattern)) => {
                let regex = Regex::new(pattern).map_err(FilterError::Pattern)?;
                images.retain(|image| {
                    let (name, _) = repository_and_digest(image);
                    regex.is_match(&name) || name == pattern
                });
            }
            _ => return Err(FilterError::Unknown(filter.clone())),
        }
    }
    Ok(images)
}

/// The images before the first that is meant: by `NAME:TAG`, by the beginning of an id, or by the
/// beginning of `NAME@DIGEST`. Images that cannot be compared so are left out.
fn up_to(mark: &str, images: Vec<Image>) -> Vec<Image> {
    let (colon, at) = (mark.contains(':'), mark.contains('@'));
    let mut kept = Vec::new();
    for image in images {
        let found = match (colon, at) {
            (true, false) => {
                let first = names_and_tags(&image).into_iter().next();
                first.map(|(name, tag)| format!("{name}:{tag}") == mark)
            }
            (false, false) => Some(image.id.starts_with(mark)),
            (true, true) => image.repo_digests.first().map(|digest| digest.starts_with(mark)),
            (false, true) => None,
        };
        match found {
            Some(true) => break,
            Some(false) => kept.push(image),
            None => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, tags: &[&str], digests: &[&str]) -> Image {
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Image {
            id: id.into(),
            repo_tags: own(tags),
            repo_digests: own(digests),
            ..Image::default()
        }
    }

    fn some() -> Vec<Image> {
        let mut images = vec![
            image("sha256:3", &[], &["r/c@sha256:cc"]),
            image("sha256:2", &["r/b:2", "r/b:1"], &["r/b@sha256:bb"]),
            image("sha256:1", &["r/a:1"], &["r/a@sha256:aa"]),
            image("sha256:0", &[], &[]),
        ];
        sort(&mut images);
        images
    }

    fn kept(filters: &[&str]) -> Vec<String> {
        let filters: Vec<_> = filters.iter().map(|&filter| filter.to_owned()).collect();
        filter(some(), &filters).unwrap().into_iter().map(|image| image.id).collect()
    }

    #[test]
    fn filters_cut_and_choose() {
        assert_eq!(kept(&[]), ["sha256:0", "sha256:1", "sha256:2", "sha256:3"]);
        assert_eq!(kept(&["dangling=true"]), ["sha256:0", "sha256:3"]);
        assert_eq!(kept(&["dangling=false", "reference=r/a"]), ["sha256:1"]);
        assert_eq!(kept(&["since=r/b:2"]), ["sha256:0", "sha256:1"]);
        assert_eq!(kept(&["before=r/a:1"]), ["sha256:2", "sha256:3"]);
        assert_eq!(kept(&["since=r/c@sha256:c"]), ["sha256:1", "sha256:2"]);
        assert_eq!(kept(&["dangling=maybe"]), Vec::<String>::new());
        let wrong = |text: &str| filter(some(), &[text.to_owned()]).unwrap_err().to_string();
        assert_eq!(wrong("label=x"), "unknown filter flag: label=x");
        assert!(wrong("reference=(").starts_with("error parsing regexp"));
    }

    #[test]
    fn every_tag_is_a_row() {
        let rows = |image: &Image| names_and_tags(image);
        let pair = |name: &str, tag: &str| (name.to_owned(), tag.to_owned());
        assert_eq!(rows(&some()[2]), [pair("r/b", "2"), pair("r/b", "1")]);
        assert_eq!(rows(&some()[3]), [pair("r/c", "<none>")]);
        assert_eq!(rows(&some()[0]), [pair("<none>", "<none>")]);
        assert_eq!(rows(&image("x", &["<none>:<none>"], &["r@d"])), [pair("r", "<none>")]);
    }
}
