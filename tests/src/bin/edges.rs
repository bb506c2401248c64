//! `cargo xtask bench edges`: see [`e2e::sites`].

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the costs of a process are read from /proc: this needs Linux");
}

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    println!("{}", e2e::sites::run(&arguments).await?);
    Ok(())
}
