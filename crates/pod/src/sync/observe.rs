use crilet_cri::{
    Client, CriError,
    inventory::{self, Detail, Pod as Sandbox},
};

use super::marks;
use crate::render::POD_UID;

/// All sandboxes of a pod that crilet keeps, with their containers.
///
/// # Errors
/// The first call that fails.
pub(super) async fn observe(client: &Client, uid: &str) -> Result<Vec<Sandbox>, CriError> {
    let mut found = inventory::read_labelled(client, (POD_UID, uid), Detail::Full).await?;
    found.retain(marks::is_kept);
    Ok(found)
}
