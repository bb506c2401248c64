//! What this machine offers to install with.

use std::{fmt, fs, io::IsTerminal, time::Duration};

use crate::shell::Shell;

/// A system's package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    Apt,
    Dnf,
    Pacman,
    Brew,
}

/// A system whose packages are not like the others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// Packages a compiler newer than the release, `rustc-web`.
    Debian,
    /// Names some packages differently.
    Ubuntu,
    Other,
}

impl Distribution {
    /// Reads `/etc/os-release`.
    fn from_release(release: &str) -> Self {
        let id = release.lines().find_map(|line| line.strip_prefix("ID="));
        match id.map(|id| id.trim_matches('"')) {
            Some("debian") => Self::Debian,
            Some("ubuntu") => Self::Ubuntu,
            _ => Self::Other,
        }
    }
}

/// How a command that changes the system may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    Root,
    /// With `sudo`, which may ask for a password when somebody is there to type it.
    Sudo,
    None,
}

/// Everything a plan depends on besides the tools themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Platform {
    pub(crate) manager: Option<Manager>,
    pub(crate) privilege: Privilege,
    pub(crate) distribution: Distribution,
    pub(crate) rustup: bool,
}

impl Platform {
    /// Looks at this machine.
    pub(crate) fn detect(shell: &Shell) -> Self {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let managers = [
            ("apt-get", Manager::Apt),
            ("dnf", Manager::Dnf),
            ("pacman", Manager::Pacman),
            ("brew", Manager::Brew),
        ];
        Self {
            manager: managers
                .into_iter()
                .find_map(|(program, manager)| shell.which(program).map(|_| manager)),
            privilege: privilege(shell),
            distribution: Distribution::from_release(&release),
            rustup: shell.which("rustup").is_some(),
        }
    }
}

fn privilege(shell: &Shell) -> Privilege {
    if shell.ask("id", &["-u"]).as_deref() == Some("0") {
        return Privilege::Root;
    }
    let somebody_is_there = std::io::stdin().is_terminal() && shell.which("sudo").is_some();
    if somebody_is_there || shell.succeeds("sudo", &["-n", "true"], Duration::from_secs(5)) {
        Privilege::Sudo
    } else {
        Privilege::None
    }
}

impl Manager {
    /// The words that install packages, without the packages.
    pub(crate) fn install_words(self) -> &'static [&'static str] {
        match self {
            Self::Apt => &["apt-get", "install", "-y", "--no-install-recommends"],
            Self::Dnf => &["dnf", "install", "-y"],
            Self::Pacman => &["pacman", "-S", "--needed", "--noconfirm"],
            Self::Brew => &["brew", "install"],
        }
    }

    /// Whether installing changes the whole system. Homebrew's folder belongs to its user.
    pub(crate) fn needs_root(self) -> bool {
        self != Self::Brew
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.install_words()[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_is_the_id_and_not_what_it_is_like() {
        let mint = "NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        assert_eq!(Distribution::from_release(mint), Distribution::Other);
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n";
        assert_eq!(Distribution::from_release(debian), Distribution::Debian);
        assert_eq!(Distribution::from_release("ID=\"ubuntu\"\n"), Distribution::Ubuntu);
        assert_eq!(Distribution::from_release(""), Distribution::Other);
    }
}
