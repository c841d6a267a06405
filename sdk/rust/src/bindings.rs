//! Generated from `wit/`, once for all adapters. `imports` holds the shared interfaces; each world's module holds
//! its export macro, used by the `register_*!` macros alone.
#![allow(
    missing_docs,
    unsafe_code,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    unused_qualifications,
    reason = "generated code"
)]

/// The host's interfaces and all shared types.
pub mod imports {
    wit_bindgen::generate!({
        inline: "
            package wherry:sdk;
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
        world: "wherry:sdk/imports",
        generate_all,
        additional_derives: [PartialEq],
    });
}

macro_rules! world {
    ($module:ident, $name:literal, $export:literal, $path:literal, { $($interface:literal: $shared:ident),* }) => {
        /// One world.
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                world: $name,
                with: { $($interface: crate::bindings::imports::wherry::adapter::$shared),* },
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $path,
                additional_derives: [PartialEq],
            });
        }
    };
}
world!(disk_format, "disk-format", "export_disk_format", "wherry_sdk::bindings::disk_format", {
    "wherry:adapter/types@0.1.0": types,
    "wherry:adapter/log@0.1.0": log,
    "wherry:adapter/job@0.1.0": job,
    "wherry:adapter/storage@0.1.0": storage
});
world!(volume_map, "volume-map", "export_volume_map", "wherry_sdk::bindings::volume_map", {
    "wherry:adapter/types@0.1.0": types,
    "wherry:adapter/log@0.1.0": log,
    "wherry:adapter/job@0.1.0": job,
    "wherry:adapter/storage@0.1.0": storage
});
world!(filesystem_driver, "filesystem-driver", "export_filesystem_driver", "wherry_sdk::bindings::filesystem_driver", {
    "wherry:adapter/types@0.1.0": types,
    "wherry:adapter/log@0.1.0": log,
    "wherry:adapter/job@0.1.0": job,
    "wherry:adapter/storage@0.1.0": storage,
    "wherry:adapter/files@0.1.0": files
});
world!(machine_definition, "machine-definition", "export_machine_definition", "wherry_sdk::bindings::machine_definition", {
    "wherry:adapter/types@0.1.0": types,
    "wherry:adapter/log@0.1.0": log,
    "wherry:adapter/job@0.1.0": job,
    "wherry:adapter/storage@0.1.0": storage
});
world!(source_os, "source-os", "export_source_os", "wherry_sdk::bindings::source_os", {
    "wherry:adapter/types@0.1.0": types,
    "wherry:adapter/log@0.1.0": log,
    "wherry:adapter/job@0.1.0": job,
    "wherry:adapter/files@0.1.0": files,
    "wherry:adapter/tree@0.1.0": tree
});
world!(target_platform, "target-platform", "export_target_platform", "wherry_sdk::bindings::target_platform", {
    "wherry:adapter/types@0.1.0": types,
    "wherry:adapter/log@0.1.0": log,
    "wherry:adapter/job@0.1.0": job,
    "wherry:adapter/http@0.1.0": http,
    "wherry:adapter/connection@0.1.0": connection,
    "wherry:adapter/output@0.1.0": output
});
