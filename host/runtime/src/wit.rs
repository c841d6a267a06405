//! Generated from `wit/`: the shared interfaces once, then each world on top of them.
#![allow(missing_docs, clippy::all, unused_qualifications, reason = "generated code")]

/// The host's interfaces and all shared types.
pub mod shared {
    wasmtime::component::bindgen!({
        inline: "
            package wherry:host;
            world imports {
                import wherry:adapter/types@0.1.0;
                import wherry:adapter/log@0.1.0;
                import wherry:adapter/job@0.1.0;
                import wherry:adapter/storage@0.1.0;
                import wherry:adapter/files@0.1.0;
                import wherry:adapter/tree@0.1.0;
                import wherry:adapter/http@0.1.0;
                import wherry:adapter/connection@0.1.0;
                import wherry:adapter/output@0.1.0;
            }",
        path: "../../wit",
        world: "wherry:host/imports",
        with: {
            "wherry:adapter/storage.blob": crate::state::Blob,
            "wherry:adapter/tree.guest-tree": crate::state::GuestTree,
            "wherry:adapter/connection.link": crate::state::Link,
        },
        imports: { default: trappable },
    });
}

macro_rules! world {
    ($module:ident, $name:literal, { $($interface:literal: $shared:ident),* $(,)? }) => {
        pub mod $module {
            wasmtime::component::bindgen!({
                path: "../../wit",
                world: $name,
                with: { $($interface: crate::wit::shared::wherry::adapter::$shared),* },
                imports: { default: trappable },
            });
        }
    };
}
world!(disk_format, "disk-format", {
    "wherry:adapter/types": types, "wherry:adapter/log": log, "wherry:adapter/job": job,
    "wherry:adapter/storage": storage,
});
world!(volume_map, "volume-map", {
    "wherry:adapter/types": types, "wherry:adapter/log": log, "wherry:adapter/job": job,
    "wherry:adapter/storage": storage,
});
world!(filesystem_driver, "filesystem-driver", {
    "wherry:adapter/types": types, "wherry:adapter/log": log, "wherry:adapter/job": job,
    "wherry:adapter/storage": storage, "wherry:adapter/files": files,
});
world!(machine_definition, "machine-definition", {
    "wherry:adapter/types": types, "wherry:adapter/log": log, "wherry:adapter/job": job,
    "wherry:adapter/storage": storage,
});
world!(source_os, "source-os", {
    "wherry:adapter/types": types, "wherry:adapter/log": log, "wherry:adapter/job": job,
    "wherry:adapter/files": files, "wherry:adapter/tree": tree,
});
world!(target_platform, "target-platform", {
    "wherry:adapter/types": types, "wherry:adapter/log": log, "wherry:adapter/job": job,
    "wherry:adapter/http": http, "wherry:adapter/connection": connection, "wherry:adapter/output": output,
});
