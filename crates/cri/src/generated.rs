//! What `build.rs` makes of `proto/cri.proto`.

/// Messages and enums of CRI v1 (package `runtime.v1`), as of Kubernetes 1.36.
///
/// Names and fields are the wire's own; what a field means is said in `proto/cri.proto`.
#[expect(missing_docs, reason = "generated code; the documentation is in proto/cri.proto")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/runtime.v1.rs"));

    impl std::fmt::Debug for AuthConfig {
        /// Says who logs in where; passwords and tokens never reach a log.
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter
                .debug_struct("AuthConfig")
                .field("username", &self.username)
                .field("server_address", &self.server_address)
                .finish_non_exhaustive()
        }
    }
}
