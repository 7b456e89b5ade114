//! Images on the node and in registries. Texts are those of containerd 1.6.

use std::collections::BTreeMap;

use crilet_core::ImageName;

use super::{
    ids::digest,
    state::{Answer, State, not_found, unknown},
};
use crate::v1;

type Credentials = (String, String);

#[derive(Debug, Default)]
pub(super) struct Images {
    local: BTreeMap<String, v1::Image>,
    remote: BTreeMap<String, Option<Credentials>>,
}

impl Images {
    pub(super) fn add_local(&mut self, name: &str) {
        let name = complete(name);
        let digests = vec![format!("{}@sha256:{}", repository(&name), digest(&name))];
        let (repo_tags, repo_digests) = match name.contains('@') {
            true => (Vec::new(), vec![name.clone()]),
            false => (vec![name.clone()], digests),
        };
        let image = v1::Image {
            id: format!("sha256:{}", digest(&format!("config of {name}"))),
            repo_tags,
            repo_digests,
            size: 4_261_574,
            spec: Some(v1::ImageSpec { image: name.clone(), ..v1::ImageSpec::default() }),
            ..v1::Image::default()
        };
        self.local.insert(name, image);
    }

    pub(super) fn add_remote(&mut self, name: &str, credentials: Option<Credentials>) {
        self.remote.insert(complete(name), credentials);
    }

    /// Finds an image by name, digest, id or the beginning of an id.
    pub(super) fn find(&self, reference: &str) -> Option<&v1::Image> {
        if reference.is_empty() {
            return None;
        }
        let name = complete(reference);
        let id = format!("sha256:{}", reference.strip_prefix("sha256:").unwrap_or(reference));
        self.local.values().find(|image| {
            image.repo_tags.contains(&name)
                || image.repo_digests.contains(&name)
                || image.id.starts_with(&id)
        })
    }
}

impl State {
    pub(super) fn list_images(&self, request: v1::ListImagesRequest) -> v1::ListImagesResponse {
        let wanted = request.filter.and_then(|filter| filter.image).unwrap_or_default().image;
        let images = match wanted.as_str() {
            "" => self.images.local.values().cloned().collect(),
            reference => self.images.find(reference).cloned().into_iter().collect(),
        };
        v1::ListImagesResponse { images }
    }

    pub(super) fn image_status(&self, request: v1::ImageStatusRequest) -> v1::ImageStatusResponse {
        let reference = request.image.unwrap_or_default().image;
        let image = self.images.find(&reference).cloned();
        v1::ImageStatusResponse { image, info: BTreeMap::new() }
    }

    pub(super) fn pull_image(
        &mut self,
        request: v1::PullImageRequest,
    ) -> Answer<v1::PullImageResponse> {
        let name = complete(&request.image.unwrap_or_default().image);
        let failed = |reason: &str| {
            format!(
                "failed to pull and unpack image {name:?}: failed to resolve reference {name:?}: \
                 {reason}"
            )
        };
        let credentials = self.images.remote.get(&name);
        let credentials =
            credentials.ok_or_else(|| not_found(failed(&format!("{name}: not found"))))?;
        if credentials.as_ref().is_some_and(|wanted| !opens(request.auth.as_ref(), wanted)) {
            let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
            let reason = format!("unexpected status code [manifests {tag}]: 401 Unauthorized");
            return Err(unknown(failed(&reason)));
        }
        self.images.add_local(&name);
        let image_ref = self.images.find(&name).map(|image| image.id.clone()).unwrap_or_default();
        Ok(v1::PullImageResponse { image_ref })
    }

    pub(super) fn remove_image(&mut self, request: v1::RemoveImageRequest) {
        let reference = request.image.unwrap_or_default().image;
        if let Some(id) = self.images.find(&reference).map(|image| image.id.clone()) {
            self.images.local.retain(|_, image| image.id != id);
        }
    }
}

/// Tells whether credentials are the wanted ones, in either of the forms that the CRI has.
fn opens(given: Option<&v1::AuthConfig>, (user, password): &Credentials) -> bool {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    given.is_some_and(|given| {
        (given.username == *user && given.password == *password)
            || given.auth == STANDARD.encode(format!("{user}:{password}"))
    })
}

/// Completes a short name; what is no name is looked up as it is.
fn complete(name: &str) -> String {
    name.parse::<ImageName>().map_or_else(|_| name.to_owned(), |name| name.to_string())
}

/// Takes tag and digest off a full name.
fn repository(name: &str) -> &str {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}
