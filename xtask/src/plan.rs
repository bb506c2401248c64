//! From what was found to what to do. Pure: nothing here looks at the machine or changes it.

use crate::{
    platform::{Distribution, Manager, Platform, Privilege},
    probe::Finding,
    tool::{Pins, Tool},
};

/// Where tools go that must not replace the reader's own, as it is written in a command line.
pub(crate) const TOOLS_DIR: &str = "target/tools";

/// What to do about one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Nothing,
    /// Try these in turn until one succeeds. Never empty.
    Install(Vec<Method>),
    /// Only the reader can: this is what to do.
    Manual(String),
}

/// One way to install a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    RustupTarget,
    RustupComponent(&'static str),
    /// Debian's newer compiler, with its library built for wasm32.
    DebianCompiler,
    System {
        manager: Manager,
        sudo: bool,
        packages: &'static [&'static str],
    },
    Cargo {
        package: &'static str,
        version: String,
        /// Into the target folder, because another version is in cargo's own and may be needed elsewhere.
        beside: bool,
    },
}

/// Decides what to do about `tool`.
pub(crate) fn plan(tool: Tool, finding: &Finding, platform: Platform, pins: &Pins) -> Plan {
    let beside = match finding {
        Finding::Present(_) | Finding::NotNeeded => return Plan::Nothing,
        Finding::OtherVersion(_) => true,
        Finding::Missing => false,
    };
    let mut methods = Vec::new();
    if platform.rustup {
        methods.extend(match tool {
            Tool::WasmTarget => Some(Method::RustupTarget),
            Tool::Rustfmt => Some(Method::RustupComponent("rustfmt")),
            Tool::Clippy => Some(Method::RustupComponent("clippy")),
            _ => None,
        });
    }
    let debian_compiler = tool == Tool::WasmTarget
        && platform.rustup
        && platform.distribution == Distribution::Debian;
    if debian_compiler && platform.privilege != Privilege::None {
        methods.push(Method::DebianCompiler);
    }
    if let Some((package, version)) = tool.cargo_package(pins) {
        methods.push(Method::Cargo { package, version, beside });
    }
    methods.extend(system(tool, platform).filter(|_| can_install(platform)));
    if methods.is_empty() {
        Plan::Manual(advice(tool, platform, pins))
    } else {
        Plan::Install(methods)
    }
}

/// What a reader can do when nothing here could.
pub(crate) fn advice(tool: Tool, platform: Platform, pins: &Pins) -> String {
    let by_cargo = tool.cargo_package(pins).map(|(package, version)| Method::Cargo {
        package,
        version,
        beside: false,
    });
    if let Some(method) = by_cargo.or_else(|| system(tool, platform)) {
        return format!("install it with `{}`", method.command_line());
    }
    match tool {
        Tool::WasmTarget => "install rustup (https://rustup.rs) and run \
             `rustup target add wasm32-unknown-unknown`"
            .to_owned(),
        Tool::Rustfmt | Tool::Clippy => {
            format!(
                "install rustup (https://rustup.rs) and run `rustup component add {}`",
                tool.name()
            )
        }
        Tool::Browser => "install Chromium or Chrome and the chromedriver of the same version, \
             and set CHROMEDRIVER to it"
            .to_owned(),
        other => format!("install {} with this system's package manager", other.name()),
    }
}

fn can_install(platform: Platform) -> bool {
    platform.privilege != Privilege::None
        || platform.manager.is_some_and(|manager| !manager.needs_root())
}

/// The system's package for a tool, if it has one.
fn system(tool: Tool, platform: Platform) -> Option<Method> {
    let manager = platform.manager?;
    let packages: &[&str] = match (tool, manager) {
        (Tool::WasmClippy, Manager::Apt) => &["rust-web-clippy"],
        (Tool::Browser, Manager::Apt) if platform.distribution == Distribution::Ubuntu => {
            &["chromium-browser", "chromium-chromedriver"]
        }
        (Tool::Browser, Manager::Apt) => &["chromium", "chromium-driver"],
        (Tool::Browser, Manager::Dnf) => &["chromium", "chromedriver"],
        // The driver is in the same package.
        (Tool::Browser, Manager::Pacman) => &["chromium"],
        (Tool::Browser, Manager::Brew) => &["--cask", "google-chrome", "chromedriver"],
        (Tool::Alsa, Manager::Apt) => &["libasound2-dev", "pkg-config"],
        (Tool::Alsa, Manager::Dnf) => &["alsa-lib-devel", "pkgconf-pkg-config"],
        (Tool::Alsa, Manager::Pacman) => &["alsa-lib", "pkgconf"],
        // For a compiler that came as a package and not from rustup.
        (Tool::WasmTarget, Manager::Dnf) if !platform.rustup => {
            &["rust-std-static-wasm32-unknown-unknown"]
        }
        (Tool::WasmTarget, Manager::Pacman) if !platform.rustup => &["rust-wasm", "lld"],
        _ => return None,
    };
    let sudo = manager.needs_root() && platform.privilege != Privilege::Root;
    Some(Method::System { manager, sudo, packages })
}

impl Method {
    /// The words to run it, where it is one command.
    pub(crate) fn words(&self) -> Vec<String> {
        match self {
            Self::RustupTarget => words(&["rustup", "target", "add", "wasm32-unknown-unknown"]),
            Self::RustupComponent(name) => words(&["rustup", "component", "add", name]),
            Self::DebianCompiler => words(&["cargo", "xtask", "setup"]),
            Self::System { manager, sudo, packages } => {
                let sudo: &[&str] = if *sudo { &["sudo"] } else { &[] };
                words(&[sudo, manager.install_words(), packages].concat())
            }
            Self::Cargo { package, version, beside } => {
                let root: &[&str] = if *beside { &["--root", TOOLS_DIR] } else { &[] };
                let exact = format!("{package}@{version}");
                words(&[&["cargo", "install", "--locked"], root, &[&exact]].concat())
            }
        }
    }

    /// As a person would type it.
    pub(crate) fn command_line(&self) -> String {
        self.words().join(" ")
    }

    /// With what, and for about how long, on two cores and a fast network.
    pub(crate) fn describe(&self) -> String {
        let (with, takes) = match self {
            Self::RustupTarget | Self::RustupComponent(_) => ("rustup".to_owned(), "10 s"),
            Self::DebianCompiler => {
                ("Debian's rustc-web, library built from source".to_owned(), "2 min")
            }
            Self::System { manager, packages, .. } if packages.len() > 1 => {
                (manager.to_string(), "1 min")
            }
            Self::System { manager, .. } => (manager.to_string(), "10 s"),
            Self::Cargo { package, .. } => {
                let takes = match *package {
                    "trunk" => "6 min",
                    "wasm-bindgen-cli" => "3 min",
                    "cargo-deny" => "4 min",
                    _ => "5 min",
                };
                ("cargo install".to_owned(), takes)
            }
        };
        format!("with {with}, takes about {takes}")
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED_DEBIAN: Platform = Platform {
        manager: Some(Manager::Apt),
        privilege: Privilege::Root,
        distribution: Distribution::Debian,
        rustup: true,
    };
    const MAC: Platform = Platform {
        manager: Some(Manager::Brew),
        privilege: Privilege::None,
        distribution: Distribution::Other,
        rustup: true,
    };

    fn pins() -> Pins {
        Pins { wasm_bindgen: "0.2.128".to_owned() }
    }

    fn for_missing(tool: Tool, platform: Platform) -> Plan {
        plan(tool, &Finding::Missing, platform, &pins())
    }

    fn command_lines(plan: &Plan) -> Vec<String> {
        match plan {
            Plan::Install(methods) => methods.iter().map(Method::command_line).collect(),
            other => panic!("not an installation: {other:?}"),
        }
    }

    #[test]
    fn what_is_here_is_left_alone() {
        for finding in [Finding::Present("1".to_owned()), Finding::NotNeeded] {
            for tool in crate::tool::Purpose::Test.tools() {
                assert_eq!(plan(*tool, &finding, CLOSED_DEBIAN, &pins()), Plan::Nothing);
            }
        }
    }

    #[test]
    fn the_target_falls_back_to_debian_where_rustup_cannot_download() {
        assert_eq!(
            for_missing(Tool::WasmTarget, CLOSED_DEBIAN),
            Plan::Install(vec![Method::RustupTarget, Method::DebianCompiler])
        );
        assert_eq!(for_missing(Tool::WasmTarget, MAC), Plan::Install(vec![Method::RustupTarget]));
        let unprivileged = Platform { privilege: Privilege::None, ..CLOSED_DEBIAN };
        assert_eq!(
            for_missing(Tool::WasmTarget, unprivileged),
            Plan::Install(vec![Method::RustupTarget])
        );
    }

    #[test]
    fn a_compiler_that_is_a_package_gets_its_target_as_a_package() {
        let fedora = Platform {
            manager: Some(Manager::Dnf),
            distribution: Distribution::Other,
            rustup: false,
            ..CLOSED_DEBIAN
        };
        assert_eq!(
            command_lines(&for_missing(Tool::WasmTarget, fedora)),
            ["dnf install -y rust-std-static-wasm32-unknown-unknown"]
        );
        let unknown = Platform { manager: None, ..fedora };
        let Plan::Manual(advice) = for_missing(Tool::WasmTarget, unknown) else {
            panic!("nothing can install it there");
        };
        assert!(advice.contains("rustup target add wasm32-unknown-unknown"), "{advice}");
    }

    #[test]
    fn another_version_of_a_pinned_tool_is_not_replaced() {
        let other = Finding::OtherVersion("0.22.1".to_owned());
        let beside = plan(Tool::Trunk, &other, MAC, &pins());
        assert_eq!(
            command_lines(&beside),
            ["cargo install --locked --root target/tools trunk@0.21.14"]
        );
        assert_eq!(
            command_lines(&for_missing(Tool::WasmBindgen, MAC)),
            ["cargo install --locked wasm-bindgen-cli@0.2.128"]
        );
    }

    #[test]
    fn system_packages_need_a_way_to_become_root_except_with_brew() {
        let user = Platform { privilege: Privilege::Sudo, ..CLOSED_DEBIAN };
        assert_eq!(
            command_lines(&for_missing(Tool::Browser, user)),
            ["sudo apt-get install -y --no-install-recommends chromium chromium-driver"]
        );
        let nobody = Platform { privilege: Privilege::None, ..CLOSED_DEBIAN };
        assert_eq!(
            for_missing(Tool::Alsa, nobody),
            Plan::Manual(
                "install it with `sudo apt-get install -y --no-install-recommends \
                 libasound2-dev pkg-config`"
                    .to_owned()
            )
        );
        assert_eq!(
            command_lines(&for_missing(Tool::Browser, MAC)),
            ["brew install --cask google-chrome chromedriver"]
        );
    }

    #[test]
    fn no_tool_is_left_without_an_answer_on_any_system() {
        let managers = [
            None,
            Some(Manager::Apt),
            Some(Manager::Dnf),
            Some(Manager::Pacman),
            Some(Manager::Brew),
        ];
        for manager in managers {
            for privilege in [Privilege::Root, Privilege::Sudo, Privilege::None] {
                for rustup in [true, false] {
                    let platform = Platform { manager, privilege, rustup, ..MAC };
                    for tool in crate::tool::Purpose::Test.tools() {
                        match for_missing(*tool, platform) {
                            Plan::Nothing => panic!("{tool:?} is missing"),
                            Plan::Install(methods) => assert!(!methods.is_empty()),
                            Plan::Manual(advice) => assert!(advice.contains("install"), "{advice}"),
                        }
                    }
                }
            }
        }
    }
}
