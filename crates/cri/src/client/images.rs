//! ImageService: what is on the machine, and pulling.

use super::{Client, image};
use crate::{CriError, v1};

impl Client {
    /// All images that match.
    pub async fn list_images(
        &self,
        filter: Option<v1::ImageFilter>,
    ) -> Result<Vec<v1::Image>, CriError> {
        let request = v1::ListImagesRequest { filter };
        let answer: v1::ListImagesResponse =
            self.image_call("ListImages", None, self.deadlines.query, &request).await?;
        Ok(answer.images)
    }

    /// An image by reference or id; its `image` is absent when the machine does not have it.
    pub async fn image_status(
        &self,
        reference: &str,
        verbose: bool,
    ) -> Result<v1::ImageStatusResponse, CriError> {
        let request = v1::ImageStatusRequest { image: Some(spec(reference)), verbose };
        self.image_call("ImageStatus", image(reference), self.deadlines.query, &request).await
    }

    /// Pulls an image and gives the reference it got on this machine, an id or a digest.
    ///
    /// `sandbox_config` lets a runtime pull on behalf of a pod; most ignore it.
    pub async fn pull_image(
        &self,
        spec: v1::ImageSpec,
        auth: Option<v1::AuthConfig>,
        sandbox_config: Option<v1::PodSandboxConfig>,
    ) -> Result<String, CriError> {
        let object = image(&spec.image);
        let request = v1::PullImageRequest { image: Some(spec), auth, sandbox_config };
        let answer: v1::PullImageResponse =
            self.image_call("PullImage", object, self.deadlines.pull, &request).await?;
        Ok(answer.image_ref)
    }

    /// Removes an image with all its names; one that does not exist is fine.
    pub async fn remove_image(&self, reference: &str) -> Result<(), CriError> {
        let request = v1::RemoveImageRequest { image: Some(spec(reference)) };
        let _: v1::RemoveImageResponse = self
            .image_call("RemoveImage", image(reference), self.deadlines.change, &request)
            .await?;
        Ok(())
    }

    /// What images (and, apart from them, containers) take on disk.
    pub async fn image_fs_info(&self) -> Result<v1::ImageFsInfoResponse, CriError> {
        let request = v1::ImageFsInfoRequest {};
        self.image_call("ImageFsInfo", None, self.deadlines.query, &request).await
    }
}

fn spec(reference: &str) -> v1::ImageSpec {
    v1::ImageSpec { image: reference.to_owned(), ..v1::ImageSpec::default() }
}
