//! Mounts and devices.

use std::collections::HashMap;

use super::{Check, of_item};
use crate::v1;

impl Check<'_> {
    pub(super) fn mounts(&mut self, mounts: &[v1::Mount]) {
        let mut taken: HashMap<Vec<&str>, usize> = HashMap::new();
        for (index, mount) in mounts.iter().enumerate() {
            self.mount(index, mount);
            let place = components(&mount.container_path);
            if mount.container_path.is_empty() {
                continue;
            }
            if let Some(earlier) = taken.get(&place) {
                let path = of_item("mounts", index, "container_path");
                let message = format!("{:?} is taken by mounts[{earlier}]", mount.container_path);
                self.wrong(&path, message);
            } else {
                taken.insert(place, index);
            }
        }
    }

    fn mount(&mut self, index: usize, mount: &v1::Mount) {
        let path = |name| of_item("mounts", index, name);
        self.required_path(&path("container_path"), &mount.container_path);
        if let Some(image) = &mount.image {
            if image.image.is_empty() {
                self.lacking(&path("image.image"));
            }
            if !mount.host_path.is_empty() {
                let message = "a mount is of an image or of a host path, not of both";
                self.wrong(&path("host_path"), message);
            }
        } else {
            self.required_path(&path("host_path"), &mount.host_path);
            if !mount.image_sub_path.is_empty() {
                self.wrong(&path("image_sub_path"), "given without `image`");
            }
        }
        if mount.recursive_read_only && !mount.readonly {
            let hint = "the CRI wants `readonly: true` beside it";
            self.wrong_hint(&path("recursive_read_only"), "given without `readonly`", hint);
        }
    }

    pub(super) fn devices(&mut self, devices: &[v1::Device]) {
        for (index, device) in devices.iter().enumerate() {
            let path = |name| of_item("devices", index, name);
            self.required_path(&path("container_path"), &device.container_path);
            self.required_path(&path("host_path"), &device.host_path);
            if !device.permissions.chars().all(|sign| "rwm".contains(sign)) {
                let message = format!("{:?} is not made of `r`, `w` and `m`", device.permissions);
                self.wrong(&path("permissions"), message);
            }
        }
    }

    fn required_path(&mut self, path: &str, value: &str) {
        if value.is_empty() {
            self.lacking(path);
        } else {
            self.absolute(path, value);
        }
    }
}

/// Splits a path so that spellings of one place compare equal.
fn components(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}
