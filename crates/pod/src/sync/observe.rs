use crilet_cri::{
    Client, CriError,
    inventory::{self, Pod as Sandbox},
};

use super::marks;
use crate::render::POD_UID;

/// All sandboxes of a pod that crilet keeps, with their containers; `known` is what was seen last.
///
/// # Errors
/// The first call that fails.
pub(super) async fn observe(
    client: &Client,
    uid: &str,
    known: &[Sandbox],
) -> Result<Vec<Sandbox>, CriError> {
    let mut found = inventory::read_labelled_again(client, (POD_UID, uid), known).await?;
    found.retain(marks::is_kept);
    Ok(found)
}
