//! The rules of the house that no compiler keeps. Each failure names every place at once.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A file longer than this, without its tests, is more than a reader can hold.
const LINES_MAX: usize = 600;
/// One script is a ring buffer, one fills blocks, one knows a page by heart. None has room for a decision.
const SCRIPT_LINES_MAX: usize = 40;
/// The only scripts. Everything else that runs in the browser is Rust: worklets and a service worker are what browsers
/// start from a script of their own.
const SCRIPTS: [&str; 3] = [
    "player-wasm/src/browser/microphone.js",
    "player-wasm/src/browser/sink/sink.js",
    "ui/app/sw.js",
];

/// Which crate may know which. An arrow that is not here does not exist.
const ARROWS: [(&str, &[&str]); 6] = [
    ("protocol", &[]),
    ("player-wasm", &["protocol"]),
    ("ui", &["player-wasm"]),
    ("server", &["protocol"]),
    ("e2e", &["protocol", "player-wasm", "server"]),
    ("xtask", &[]),
];

/// Crates that reach the browser: `player-wasm` may name them for wasm32 only, so that a pure module that uses one
/// fails the native build.
const BROWSER_CRATES: [&str; 5] =
    ["gloo-timers", "js-sys", "wasm-bindgen", "wasm-bindgen-futures", "web-sys"];

/// Folders and files that are handed time and input, and do nothing by themselves.
const PURE: [&str; 14] = [
    "protocol/src",
    "player-wasm/src",
    "server/src/session",
    "server/src/group",
    "server/src/fanout/outbox.rs",
    "server/src/uplink/figures.rs",
    "server/src/uplink/follower.rs",
    "server/src/uplink/lanes.rs",
    "server/src/uplink/origin.rs",
    "server/src/uplink/pictures.rs",
    "server/src/uplink/players.rs",
    "server/src/uplink/reassembly.rs",
    "server/src/uplink/wire.rs",
    "server/src/workers/supervisor.rs",
];
/// The shell inside a pure folder.
const NOT_PURE: &str = "player-wasm/src/browser";

/// Names by which a module reaches outside.
const IO_NAMES: [&str; 17] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "axum",
    "gloo_net",
    "gloo_timers",
    "js_sys",
    "rustix",
    "socket2",
    "tokio",
    "tokio_tungstenite",
    "wasm_bindgen",
    "web_sys",
];

#[test]
fn crates_know_only_what_lies_below_them() {
    let mut wrong = Vec::new();
    for package in packages() {
        let name = text(&package, "name");
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            wrong.push(format!("{name} has no place in ARROWS"));
            continue;
        };
        for dependency in dependencies(&package) {
            let to = text(&dependency, "name");
            let is_ours = ARROWS.iter().any(|(ours, _)| *ours == to);
            if is_ours && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{name} must not depend on {to}"));
            }
        }
    }
    nothing(&wrong);
}

#[test]
fn the_browser_is_out_of_reach_of_pure_crates() {
    let mut wrong = Vec::new();
    for package in packages() {
        let name = text(&package, "name");
        for dependency in dependencies(&package) {
            let to = text(&dependency, "name");
            if !BROWSER_CRATES.contains(&to.as_str()) {
                continue;
            }
            let for_wasm = dependency["target"].as_str().is_some_and(|it| it.contains("wasm32"));
            if name == "protocol" || (name == "player-wasm" && !for_wasm) {
                wrong.push(format!("{name} depends on {to} for every target"));
            }
        }
    }
    nothing(&wrong);
}

#[test]
fn files_can_be_held_in_the_head() {
    let mut wrong = Vec::new();
    for file in files("rs").into_iter().filter(|file| !is_test_file(&shown(file))) {
        let source = read(&file);
        let lines = without_tests(&source).lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{}: {lines} lines, at most {LINES_MAX}", shown(&file)));
        }
    }
    nothing(&wrong);
}

#[test]
fn pure_folders_name_nothing_that_does_io() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in files("rs").into_iter().filter(|file| is_pure(&shown(file))) {
        seen += 1;
        for (number, line) in without_tests(&read(&file)).lines().enumerate() {
            for name in io_names(line) {
                wrong.push(format!("{}:{}: {name}", shown(&file), number + 1));
            }
        }
    }
    assert!(seen > 0, "no pure file was found: the folders have moved");
    nothing(&wrong);
}

#[test]
fn the_scripts_are_three_and_short() {
    // What the browser tests put into a page to look at it is no part of the page.
    let is_shipped = |file: &PathBuf| !shown(file).starts_with("tests/");
    let scripts: Vec<PathBuf> =
        ["js", "mjs", "ts"].into_iter().flat_map(files).filter(is_shipped).collect();
    let names: Vec<String> = scripts.iter().map(|file| shown(file)).collect();
    assert_eq!(names, SCRIPTS);
    for (script, name) in scripts.iter().zip(SCRIPTS) {
        let lines = read(script).lines().count();
        assert!(lines < SCRIPT_LINES_MAX, "{name}: {lines} lines, fewer than {SCRIPT_LINES_MAX}");
    }
}

/// A wait of fixed length is too short on a slow machine and too long on every other. A loop that looks again and
/// gives up at a deadline may pause in between, and says so: `// Polls: what for`.
#[test]
fn no_test_sleeps() {
    // In two pieces, so that this file is not found.
    let call = concat!("sleep", "(");
    let mut wrong = Vec::new();
    for file in files("rs") {
        let source = read(&file);
        let name = shown(&file);
        // The simulated world and the browser driver are there for tests alone. The load generator judges nothing by
        // waiting: it keeps a pace, and measures for a stated time.
        let is_all_test = is_test_file(&name)
            || name.starts_with("tests/") && !name.starts_with("tests/src/load/");
        let tests_start = if is_all_test { 0 } else { tests_at(&source).unwrap_or(usize::MAX) };
        let lines: Vec<&str> = source.lines().collect();
        for (at, line) in lines.iter().enumerate().skip(tests_start) {
            let before = at.checked_sub(1).map_or("", |at| lines[at]);
            let explained = line.contains("// Polls: ") || before.contains("// Polls: ");
            if code(line).contains(call) && !explained {
                wrong.push(format!("{name}:{}", at + 1));
            }
        }
    }
    nothing(&wrong);
}

#[test]
fn the_architecture_names_only_what_exists() {
    let architecture = read(&root().join("ARCHITECTURE.md"));
    let paths = paths_in(&architecture);
    assert!(paths.len() >= 10, "the code map names hardly anything: {paths:?}");
    let wrong: Vec<String> = paths.into_iter().filter(|path| !root().join(path).exists()).collect();
    nothing(&wrong);
}

/// A crate's `clippy.toml` replaces the one at the root, and cargo cannot join them.
#[test]
fn what_is_written_twice_is_written_alike() {
    let thresholds = |file: &str| -> BTreeSet<String> {
        let is_threshold = |line: &&str| {
            ["too-many", "allow-unwrap", "doc-valid"].iter().any(|start| line.starts_with(start))
        };
        read(&root().join(file)).lines().filter(is_threshold).map(str::to_owned).collect()
    };
    let at_root = thresholds("clippy.toml");
    assert!(at_root.len() >= 4, "{at_root:?}");
    assert_eq!(thresholds("protocol/clippy.toml"), at_root);
    assert_eq!(thresholds("player-wasm/clippy.toml"), at_root);
    // The test runner looks for it in the folder of the crate under test.
    let driver = |name: &str| read(&root().join(name).join("webdriver.json"));
    assert_eq!(driver("ui"), driver("player-wasm"));
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert_eq!(io_names("use std::time::{Duration, Instant};"), ["Instant"]);
    assert_eq!(io_names("    tokio::spawn(async {}); // web_sys"), ["tokio"]);
    assert_eq!(io_names("struct InstantReplay; // an Instant"), [""; 0]);
    let source = "a\n#[cfg(test)]\nmod tests {\n    b\n}\nc\n";
    assert_eq!(without_tests(source), "a\nc\n");
    assert_eq!(tests_at(source), Some(1));
    assert_eq!(
        paths_in("`ui/src/app.rs`, `server/src/{group,session}/`, `server/time`, `/api/status`"),
        BTreeSet::from(
            ["server/src/group/", "server/src/session/", "ui/src/app.rs"].map(String::from)
        )
    );
}

fn nothing(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the workspace")
}

/// The packages of the workspace, as cargo describes them.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .expect("cargo runs: it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

fn dependencies(package: &Value) -> Vec<Value> {
    package["dependencies"].as_array().expect("a list of dependencies").clone()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().expect("a string").to_owned()
}

/// Every file of the workspace with that extension, in order.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace can be listed") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                let is_made = ["target", "dist", "node_modules"].contains(&name.as_str());
                if !is_made && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A path as it is written from the root, with `/` on every system.
fn shown(file: &Path) -> String {
    let inside = file.strip_prefix(root()).unwrap_or(file);
    inside.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn is_pure(name: &str) -> bool {
    let is_in = |folder: &str| name == folder || name.starts_with(&format!("{folder}/"));
    PURE.into_iter().any(is_in) && !is_in(NOT_PURE) && !is_test_file(name)
}

/// A file of a crate's `tests` folder, or a test module in a file of its own.
fn is_test_file(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("/tests.rs")
}

/// The line where the test module starts.
fn tests_at(source: &str) -> Option<usize> {
    let lines: Vec<&str> = source.lines().collect();
    lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "))
}

/// The source without its test module, which ends at the first brace of the first column.
fn without_tests(source: &str) -> String {
    let start = tests_at(source).unwrap_or(usize::MAX);
    let mut is_inside = false;
    let mut kept = String::new();
    for (number, line) in source.lines().enumerate() {
        is_inside |= number == start;
        if !is_inside {
            kept.push_str(line);
            kept.push('\n');
        }
        let is_declaration = number == start.saturating_add(1) && line.ends_with(';');
        if line == "}" || is_declaration {
            is_inside = false;
        }
    }
    kept
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The names of [`IO_NAMES`] that a line uses as whole words.
fn io_names(line: &str) -> Vec<&'static str> {
    let is_word =
        |byte: Option<&u8>| byte.is_some_and(|it| it.is_ascii_alphanumeric() || *it == b'_');
    let line = code(line);
    let stands_alone = |(start, name): (usize, &str)| {
        let before = start.checked_sub(1).and_then(|at| line.as_bytes().get(at));
        !is_word(before) && !is_word(line.as_bytes().get(start + name.len()))
    };
    IO_NAMES.into_iter().filter(|name| line.match_indices(name).any(stands_alone)).collect()
}

/// Every path in backticks. `server/time` is a message and not a path: a path has `src`, an extension or a final slash.
fn paths_in(markdown: &str) -> BTreeSet<String> {
    let quoted = markdown.split('`').skip(1).step_by(2);
    quoted
        .filter(|it| it.contains('/') && !it.starts_with('/'))
        .filter(|it| !it.contains([' ', '<', '*', '@', ':', '\n']))
        .filter(|it| {
            it.contains("/src") || it.ends_with('/') || Path::new(it).extension().is_some()
        })
        .flat_map(expanded)
        .collect()
}

/// `a/{b,c}/d` as `a/b/d` and `a/c/d`.
fn expanded(path: &str) -> Vec<String> {
    let parts = path.split_once('{').and_then(|(before, rest)| {
        rest.split_once('}').map(|(choices, after)| (before, choices, after))
    });
    match parts {
        Some((before, choices, after)) => {
            choices.split(',').map(|choice| format!("{before}{choice}{after}")).collect()
        }
        None => vec![path.to_owned()],
    }
}
