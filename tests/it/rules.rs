//! The house rules as tests, over what `git ls-files` lists. Each complaint says how to mend it; each rule is shown to
//! complain about something.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tracked file; the text of binary files is empty.
struct File {
    path: String,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }
    /// The lines that are code: neither empty nor a comment alone, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().zip(1..).map(|(line, number)| (number, line.trim()));
        lines.filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root()).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn tree() -> Vec<File> {
    let paths = output("git", &["ls-files"]);
    // A file may be tracked and removed from the work tree at the moment.
    let paths = paths.lines().filter(|path| root().join(path).is_file());
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap_or_default();
    let files: Vec<File> = paths.map(|path| File::new(path, &read(path))).collect();
    assert!(files.len() > 50, "git ls-files lists {} files", files.len());
    files
}

fn hold(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The one complaint of a rule about bad input.
fn complains(complaints: Vec<String>, words: &str) {
    assert!(complaints.len() == 1 && complaints[0].contains(words), "{words}: {complaints:?}");
}

// Who may depend on whom.

/// A dependency of one crate: folders for our own crates, names for others.
struct Edge {
    from: String,
    to: String,
    own: bool,
    test: bool,
}

/// Layers of the host, lowest first: a crate depends on lower ones only.
const LAYERS: [&[&str]; 5] = [
    &["workload"],
    &["block"],
    &["runtime", "transfer", "archive", "channels"],
    &["migrate", "plan", "control"],
    &["cli"],
];

fn layer(folder: &str) -> Option<usize> {
    let name = folder.strip_prefix("host/")?;
    LAYERS.iter().position(|layer| layer.contains(&name))
}

fn edges(metadata: &Value) -> Vec<Edge> {
    let root = metadata["workspace_root"].as_str().expect("a root");
    let folder = |path: &str| path.strip_prefix(root).map(|path| path.trim_matches('/').to_owned());
    let mut edges = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let manifest = package["manifest_path"].as_str().expect("a path");
        let from = folder(manifest.trim_end_matches("Cargo.toml")).expect("a folder of the workspace");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let own = dependency["path"].as_str().and_then(folder);
            let name = dependency["name"].as_str().expect("a name").to_owned();
            let test = dependency["kind"] == "dev";
            edges.push(Edge { from: from.clone(), own: own.is_some(), to: own.unwrap_or(name), test });
        }
    }
    edges
}

fn directions(edges: &[Edge]) -> Vec<String> {
    let allowed = |edge: &Edge| match (layer(&edge.from), layer(&edge.to)) {
        (Some(from), Some(to)) => to < from,
        (None, _) if edge.from.starts_with("host/") => false,
        (None, _) if ["tests", "tests/bench"].contains(&edge.from.as_str()) => true,
        (None, _) if edge.from.starts_with("adapters/") || edge.from.starts_with("tests/") => {
            ["sdk/rust", "sdk/registry", "sdk/ufs", "sdk/zfs"].contains(&edge.to.as_str())
        }
        // What only some adapters need lies beside the SDK, on top of it.
        (None, _) if ["sdk/registry", "sdk/ufs", "sdk/zfs"].contains(&edge.from.as_str()) => {
            edge.to == "sdk/rust"
        }
        _ => false,
    };
    let wrong = edges.iter().filter(|edge| edge.own && !allowed(edge));
    let tell = |edge: &Edge| {
        format!(
            "{} may not depend on {}: move what is shared down, or give a new crate its layer in \
             tests/it/rules.rs and ARCHITECTURE.md",
            edge.from, edge.to
        )
    };
    wrong.map(tell).collect()
}

/// Crates that only one place may name, and why.
const KEPT: [(&[&str], &[&str], &str); 3] = [
    (&["wasmtime", "wasmtime-wasi"], &["host/runtime"], "only host/runtime knows that adapters are Wasm"),
    (
        &["hyper", "reqwest", "ureq", "rustls", "native-tls", "openssl", "socket2", "russh", "tungstenite"],
        &["host/channels", "host/archive"],
        "only host/channels and the archive's stores open connections",
    ),
    (
        &["tokio", "async-std", "smol", "futures"],
        &["host/channels", "host/transfer", "host/archive", "host/migrate", "host/control", "host/cli"],
        "workload, block, plan, the runtime and adapters are plain code without an executor",
    ),
];

fn kept_crates(edges: &[Edge]) -> Vec<String> {
    let mut complaints = Vec::new();
    for edge in edges.iter().filter(|edge| !edge.own && !edge.test) {
        for (names, places, why) in KEPT {
            if names.contains(&edge.to.as_str()) && !places.contains(&edge.from.as_str()) {
                complaints.push(format!("{} names {}: {why}; call that crate instead", edge.from, edge.to));
            }
        }
    }
    complaints
}

/// Words in code that only some places may use: place, words, where they are at home.
fn kept_words(tree: &[File]) -> Vec<String> {
    let rules: [(&str, &[&str], &[&str]); 3] = [
        ("host/", &["std::net", "os::unix::net"], &["host/channels/", "/tests/"]),
        (
            "adapters/",
            &["std::fs", "std::net", "std::env", "std::process", "std::thread", "SystemTime"],
            &["/tests/"],
        ),
        ("adapters/", &["Instant::now", "std::io::std"], &["/tests/"]),
    ];
    let mut complaints = Vec::new();
    for file in tree.iter().filter(|file| file.path.ends_with(".rs")) {
        for (place, words, homes) in rules {
            if !file.path.starts_with(place) || homes.iter().any(|home| file.path.contains(home)) {
                continue;
            }
            for (number, line) in file.code() {
                if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                    complaints.push(format!(
                        "{}:{number} names {word}: adapters ask the host for what they need (wherry_sdk), \
                         and the host's crates ask host/channels for connections",
                        file.path
                    ));
                }
            }
        }
    }
    complaints
}

/// The host knows no adapter by its name; what it loads is decided by the files it finds.
fn host_names_no_adapter(tree: &[File]) -> Vec<String> {
    let ids: BTreeSet<&str> = tree.iter().filter_map(|file| adapter(&file.path)).collect();
    let mut complaints = Vec::new();
    let sources = tree.iter().filter(|file| file.path.starts_with("host/") && file.path.ends_with(".rs"));
    for file in sources.filter(|file| !file.path.contains("test")) {
        for (number, line) in file.code() {
            if let Some(id) = ids.iter().find(|id| line.contains(&format!("\"{id}\""))) {
                complaints.push(format!(
                    "{}:{number} names the adapter {id}: choose by kind, probe or the operator's word",
                    file.path
                ));
            }
        }
    }
    complaints
}

// Where things lie.

const TOP: [&str; 13] = [
    "Cargo.toml",
    "host",
    "wit",
    "adapters",
    "sdk",
    "tests",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "Cargo.lock",
    "docs",
];

fn top_level(tree: &[File]) -> Vec<String> {
    let names: BTreeSet<&str> = tree.iter().filter_map(|file| file.path.split('/').next()).collect();
    let strange = names.into_iter().filter(|name| !name.starts_with('.') && !TOP.contains(name));
    strange
        .map(|name| format!("`{name}` is at the top level: move it into one of {}", TOP.join(" ")))
        .collect()
}

/// The adapter that a path belongs to.
fn adapter(path: &str) -> Option<&str> {
    path.strip_prefix("adapters/")?.split_once('/').map(|(id, _)| id)
}

fn adapter_files(tree: &[File]) -> Vec<String> {
    let mut folders: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for file in tree {
        if let Some(id) = adapter(&file.path) {
            folders.entry(id).or_default().insert(&file.path["adapters/".len() + id.len() + 1..], &file.text);
        }
    }
    let mut complaints = Vec::new();
    for (id, files) in &folders {
        for name in ["Cargo.toml", "adapter.toml", "README.md", "src/lib.rs", "tests/it/main.rs"] {
            if !files.contains_key(name) {
                complaints
                    .push(format!("adapters/{id} has no {name}: every adapter has the same files; add it"));
            }
        }
        // A noun that takes many files may have a folder; a second level hides.
        let shallow = |name: &str| {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let below = folder.strip_prefix("src/").map(|rest| !rest.contains('/'));
            ["", "src"].contains(&folder) || below == Some(true) || folder.starts_with("tests/it")
        };
        for name in files.keys().filter(|name| !shallow(name)) {
            complaints.push(format!(
                "adapters/{id}/{name}: sources lie in src/ or one folder below, tests in tests/it/; move it"
            ));
        }
        for (name, key) in [("adapter.toml", "id"), ("Cargo.toml", "name")] {
            if files.get(name).is_some_and(|text| !text.contains(&format!("{key} = \"{id}\"\n"))) {
                complaints
                    .push(format!("adapters/{id}/{name}: {key} is not \"{id}\"; folder, crate and id agree"));
            }
        }
    }
    complaints
}

/// Files that are longer, and why.
const LONG: [(&str, &str); 0] = [];
const LINES_MOST: usize = 800;

fn long_files(tree: &[File], long: &[(&str, &str)]) -> Vec<String> {
    let kinds = [".rs", ".wit", ".md", ".sh", ".toml"];
    let mut complaints = Vec::new();
    for file in tree.iter().filter(|file| kinds.iter().any(|kind| file.path.ends_with(kind))) {
        let lines = file.text.lines().count();
        let listed = long.iter().any(|(path, _)| *path == file.path);
        if lines > LINES_MOST && !listed {
            complaints.push(format!(
                "{} has {lines} lines, more than {LINES_MOST}: divide it by nouns, or list it in \
                 tests/it/rules.rs with a reason",
                file.path
            ));
        }
        if lines <= LINES_MOST && listed {
            complaints
                .push(format!("{} is short enough: take it off the list in tests/it/rules.rs", file.path));
        }
    }
    complaints
}

/// What is not finished or not run. A test that another starts in a process of its own is ignored with these words.
fn leftovers(tree: &[File]) -> Vec<String> {
    // In pieces, so that this file does not complain about itself.
    let words =
        [["todo", "!("], ["unimplemented", "!("], ["#[", "ignore"], ["dbg", "!("]].map(|two| two.concat());
    let mut complaints = Vec::new();
    for file in tree.iter().filter(|file| file.path.ends_with(".rs")) {
        for (number, line) in file.code() {
            let started = line.contains("ignore = \"the other half of `");
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str()) && !started) {
                let advice = "finish it, or return an error of kind `unsupported` and say so in the README";
                complaints.push(format!("{}:{number} has {word}: {advice}", file.path));
            }
        }
    }
    complaints
}

/// A test file that no `mod` names is never run, and a second test binary is linked for nothing.
fn forgotten_tests(tree: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mains = tree.iter().filter(|file| file.path.ends_with("/it/main.rs"));
    let mains: BTreeMap<&str, &str> =
        mains.map(|file| (file.path.trim_end_matches("main.rs"), file.text.as_str())).collect();
    for file in tree.iter().filter(|file| file.path.ends_with(".rs")) {
        let Some((folder, name)) = file.path.rsplit_once('/') else { continue };
        let stem = name.trim_end_matches(".rs");
        let listed = mains.get(format!("{folder}/").as_str());
        if stem != "main" && listed.is_some_and(|main| !main.contains(&format!("mod {stem};"))) {
            complaints.push(format!("{} is never run: name it in {folder}/main.rs", file.path));
        }
        if folder.ends_with("/tests") && !folder.contains("/src/") {
            complaints.push(format!("{} is a test binary of its own: move it to tests/it/", file.path));
        }
    }
    complaints
}

/// Every crate of the workspace lives by its lints.
fn lints(tree: &[File]) -> Vec<String> {
    let crates =
        tree.iter().filter(|file| file.path.ends_with("/Cargo.toml") && !file.text.contains("\n[workspace]"));
    let loose = crates.filter(|file| !file.text.contains("[lints]\nworkspace = true"));
    loose.map(|file| format!("{}: add `[lints] workspace = true`", file.path)).collect()
}

// The contract and the documents.

/// Items whose documentation is still missing; it only ever gets shorter.
const UNDOCUMENTED: [(&str, &str); 0] = [];

/// An interface, world, type or function that a line of WIT begins: `record range`, `send`.
fn item(line: &str) -> Option<String> {
    let words = ["interface", "world", "record", "variant", "enum", "flags", "resource"];
    let (first, rest) = line.split_once(' ')?;
    if words.contains(&first) {
        return Some(format!("{first} {}", rest.split([' ', '{', ';']).next()?));
    }
    let name = first.strip_suffix(':')?;
    ["func(", "static func("].iter().any(|word| rest.starts_with(word)).then(|| name.to_owned())
}

fn contract(tree: &[File], undocumented: &[(&str, &str)]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut missing = BTreeSet::new();
    for file in tree.iter().filter(|file| file.path.starts_with("wit/") && file.path.ends_with(".wit")) {
        let stem = file.path.trim_start_matches("wit/").trim_end_matches(".wit");
        let (mut before, mut interfaces) = ("", Vec::new());
        for line in file.text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let found = item(line);
            interfaces
                .extend(found.as_ref().and_then(|item| item.strip_prefix("interface ").map(str::to_owned)));
            if let Some(item) = found.filter(|_| !before.starts_with("///")) {
                if !undocumented.contains(&(stem, item.as_str())) {
                    complaints
                        .push(format!("{}: `{item}` has no documentation: put /// above it", file.path));
                }
                missing.insert((stem, item));
            }
            before = line;
        }
        let expected: &[&str] = if stem == "worlds" { &[] } else { &[stem] };
        if interfaces != expected {
            complaints.push(format!("{}: interfaces {interfaces:?}: each has a file of its name", file.path));
        }
    }
    let stale = undocumented.iter().filter(|(stem, item)| !missing.contains(&(*stem, (*item).to_owned())));
    complaints.extend(stale.map(|(stem, item)| {
        format!("wit/{stem}.wit: `{item}` is documented now: take it off the list in tests/it/rules.rs")
    }));
    complaints
}

/// The sentence after "Exit codes:", with single spaces.
fn codes(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("Exit codes:")?;
    let sentence = rest.split('.').next()?;
    Some(sentence.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn exit_codes(tree: &[File]) -> Vec<String> {
    let readme = tree.iter().find(|file| file.path == "README.md").and_then(|file| codes(&file.text));
    let cli = tree.iter().filter(|file| file.path.starts_with("host/cli/src/"));
    let cli = cli.filter_map(|file| codes(&file.text)).next();
    if readme.is_some() && readme == cli {
        return Vec::new();
    }
    vec![format!("exit codes: README.md says {readme:?}, host/cli says {cli:?}: write one sentence in both")]
}

#[test]
fn dependencies_point_down() {
    let text = output("cargo", &["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let edges = edges(&serde_json::from_str(&text).expect("JSON"));
    assert!(edges.iter().any(|edge| edge.from == "host/cli" && edge.to == "host/runtime" && edge.own));
    hold(directions(&edges));
    hold(kept_crates(&edges));
}

#[test]
fn files_lie_where_they_belong() {
    let tree = tree();
    hold(top_level(&tree));
    hold(adapter_files(&tree));
    hold(long_files(&tree, &LONG));
    hold(forgotten_tests(&tree));
    hold(lints(&tree));
}

#[test]
fn code_keeps_to_its_room() {
    let tree = tree();
    hold(leftovers(&tree));
    hold(kept_words(&tree));
    hold(host_names_no_adapter(&tree));
}

#[test]
fn the_contract_and_the_documents_are_true() {
    let tree = tree();
    hold(contract(&tree, &UNDOCUMENTED));
    hold(exit_codes(&tree));
}

#[test]
fn a_dependency_that_points_up_is_a_complaint() {
    let own = |from: &str, to: &str| Edge { from: from.into(), to: to.into(), own: true, test: false };
    let good = [
        own("host/cli", "host/migrate"),
        own("host/runtime", "host/block"),
        own("adapters/x", "sdk/rust"),
        own("tests", "host/runtime"),
        own("tests/hostile", "sdk/rust"),
    ];
    hold(directions(&good));
    for (from, to) in [
        ("host/block", "host/runtime"),
        ("host/transfer", "host/channels"),
        ("host/workload", "sdk/rust"),
        ("host/new", "host/block"),
        ("adapters/x", "host/block"),
        ("adapters/x", "adapters/y"),
        ("tests/hostile", "host/runtime"),
        ("sdk/rust", "host/workload"),
        ("sdk/xtask", "host/block"),
    ] {
        complains(directions(&[own(from, to)]), &format!("{from} may not depend on {to}"));
    }
    let other = |from: &str, to: &str, test| Edge { from: from.into(), to: to.into(), own: false, test };
    hold(kept_crates(&[other("host/runtime", "wasmtime", false), other("host/block", "tokio", true)]));
    complains(kept_crates(&[other("host/migrate", "wasmtime", false)]), "only host/runtime");
    complains(kept_crates(&[other("host/block", "tokio", false)]), "without an executor");
    complains(kept_crates(&[other("host/cli", "reqwest", false)]), "only host/channels");
    let metadata = serde_json::json!({ "workspace_root": "/w", "packages": [{
        "manifest_path": "/w/host/block/Cargo.toml",
        "dependencies": [{ "name": "wherry-cli", "path": "/w/host/cli", "kind": null }],
    }] });
    complains(directions(&edges(&metadata)), "host/block may not depend on host/cli");
}

#[test]
fn a_file_in_the_wrong_place_is_a_complaint() {
    complains(top_level(&[File::new("helpers/a.sh", ""), File::new(".ci/run", "")]), "`helpers`");
    let whole = |id: &str| {
        let path = |name: &str| format!("adapters/{id}/{name}");
        vec![
            File::new(&path("Cargo.toml"), &format!("name = \"{id}\"\n[lints]\nworkspace = true")),
            File::new(&path("adapter.toml"), &format!("id = \"{id}\"\n")),
            File::new(&path("README.md"), ""),
            File::new(&path("src/lib.rs"), ""),
            File::new(&path("tests/it/main.rs"), "mod good;"),
            File::new(&path("tests/it/good.rs"), ""),
        ]
    };
    hold(adapter_files(&whole("x")));
    hold(forgotten_tests(&whole("x")));
    hold(lints(&whole("x")));
    for missing in 0..5 {
        let mut files = whole("x");
        let gone = files.remove(missing);
        complains(adapter_files(&files), &format!("has no {}", &gone.path["adapters/x/".len()..]));
    }
    let with = |file: File| whole("x").into_iter().chain([file]).collect::<Vec<_>>();
    hold(adapter_files(&with(File::new("adapters/x/src/noun/a.rs", ""))));
    complains(adapter_files(&with(File::new("adapters/x/src/very/deep/a.rs", ""))), "one folder below");
    complains(adapter_files(&with(File::new("adapters/x/tests/it.rs", ""))), "tests in tests/it/");
    let mut other = whole("x");
    other[1].text = "id = \"y\"\n".into();
    complains(adapter_files(&other), "id is not \"x\"");
    complains(forgotten_tests(&with(File::new("adapters/x/tests/it/bad.rs", ""))), "bad.rs is never run");
    complains(forgotten_tests(&with(File::new("adapters/x/tests/more.rs", ""))), "a test binary of its own");
    hold(forgotten_tests(&with(File::new("host/x/src/tests/more.rs", ""))));
    complains(lints(&[File::new("host/x/Cargo.toml", "[package]")]), "add `[lints]");
    let long = [File::new("a.rs", &"x\n".repeat(801))];
    complains(long_files(&long, &[]), "801 lines");
    hold(long_files(&long, &[("a.rs", "generated")]));
    complains(long_files(&[File::new("a.rs", "x")], &[("a.rs", "generated")]), "short enough");
}

#[test]
fn code_outside_its_room_is_a_complaint() {
    for (one, two) in [("todo", "!()"), ("unimplemented", "!()"), ("#[", "ignore]"), ("dbg", "!(x)")] {
        complains(leftovers(&[File::new("a.rs", &format!("// todo\n{one}{two}"))]), "a.rs:2 has");
    }
    let ignored = |why: &str| vec![File::new("a.rs", &format!("#[{} = \"{why}\"]", "ignore"))];
    complains(leftovers(&ignored("slow")), "a.rs:1 has");
    hold(leftovers(&ignored("the other half of `killed`, in a process of its own")));
    complains(kept_words(&[File::new("host/cli/src/a.rs", "use std::net::TcpStream;")]), "std::net");
    complains(kept_words(&[File::new("adapters/x/src/a.rs", "\nstd::fs::read(p)")]), "a.rs:2 names std::fs");
    let fine = [
        File::new("host/channels/src/a.rs", "use std::net::TcpStream;"),
        File::new("adapters/x/tests/it/a.rs", "std::fs::read(p)"),
        File::new("adapters/x/src/b.rs", "// not std::fs"),
    ];
    hold(kept_words(&fine));
    let adapter = File::new("adapters/os-x/src/lib.rs", "");
    complains(host_names_no_adapter(&[adapter, File::new("host/cli/src/a.rs", "get(\"os-x\")")]), "os-x");
}

#[test]
fn an_undocumented_contract_or_an_untrue_document_is_a_complaint() {
    let wit = |text: &str| [File::new("wit/a.wit", text)];
    let good = "/// A.\ninterface a {\n  /// R.\n  record r { x: u8 }\n\n  /// F.\n  f: func() -> r;\n}";
    hold(contract(&wit(good), &[]));
    for (comment, item) in [("/// A.\n", "interface a"), ("/// R.\n", "record r"), ("/// F.\n", "f")] {
        complains(contract(&wit(&good.replace(comment, "")), &[]), &format!("`{item}` has no documentation"));
    }
    hold(contract(&wit(&good.replace("/// R.\n", "")), &[("a", "record r")]));
    complains(contract(&wit(good), &[("a", "record r")]), "take it off the list");
    complains(
        contract(&wit(&good.replace("interface a", "interface b")), &[]),
        "each has a file of its name",
    );

    let documents = |readme: &str| {
        [
            File::new("README.md", readme),
            File::new("host/cli/src/main.rs", "\"Exit codes: 0 done, 1\n failed.\""),
        ]
    };
    hold(exit_codes(&documents("Exit codes: 0 done, 1 failed. More.")));
    complains(exit_codes(&documents("Exit codes: 0 done.")), "write one sentence in both");
    complains(exit_codes(&documents("")), "None");
}
