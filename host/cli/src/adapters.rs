//! `wherry adapters`.

use crate::Format;
use crate::words::{put, say};
use anyhow::Result;
use runtime::{Adapter, Adapters};
use serde_json::{Value, json};

fn describe(adapter: &Adapter) -> Value {
    let manifest = &adapter.manifest;
    json!({
        "id": manifest.id,
        "version": manifest.version,
        "kind": manifest.kind.name(),
        "names": manifest.words(),
        "contract": manifest.contract,
        "summary": manifest.summary,
        "asks": {
            "http": manifest.asks.http,
            "endpoints": manifest.asks.endpoints,
            "secrets": manifest.asks.secrets,
            "output": manifest.asks.output,
        },
        "imports": adapter.imports,
        "path": adapter.path,
        "blake3": adapter.digest,
    })
}

/// One line for each.
pub fn list(adapters: &Adapters, format: Format) -> Result<()> {
    if format == Format::Json {
        let list: Vec<Value> = adapters.list.iter().map(|adapter| describe(adapter)).collect();
        let refused: Vec<String> = adapters.refused.iter().map(ToString::to_string).collect();
        put(&serde_json::to_string_pretty(&json!({ "adapters": list, "refused": refused }))?);
        return Ok(());
    }
    for adapter in &adapters.list {
        let manifest = &adapter.manifest;
        say!("{:<20} {:<8} {:<18} {}", manifest.id, manifest.version, manifest.kind.name(), manifest.summary);
    }
    for refused in &adapters.refused {
        say!("refused: {refused}");
    }
    if adapters.list.is_empty() {
        say!("no adapters; name a directory with --adapters DIR or WHERRY_ADAPTERS");
    }
    Ok(())
}

/// Everything about one.
pub fn inspect(adapters: &Adapters, id: &str, format: Format) -> Result<()> {
    let described = describe(adapters.get(id)?);
    if format == Format::Json {
        put(&serde_json::to_string_pretty(&described)?);
        return Ok(());
    }
    for (key, value) in described.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), Into::into);
        say!("{key:<10} {text}");
    }
    Ok(())
}
