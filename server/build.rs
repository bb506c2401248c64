//! Embeds the page: compresses every file of `dist/` and writes the table that `http/assets.rs` includes.
//!
//! `dist/` is made by trunk. Without it, a page that says so is embedded, so that `cargo build` works alone.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use sha2::{Digest, Sha256};

/// What is served when the page has not been built.
const NO_PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Partyline</title>\n\
<h1>The page is not in this build</h1>\n<p>The server works, but it was built without its page. \
<code>cargo xtask build</code> builds both.</p>\n</html>\n";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let dist = root.parent().ok_or("the crate has no parent folder")?.join("dist");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // The best that takes a second or two for a release, and something quick otherwise.
    let quality = if std::env::var("PROFILE")? == "release" { 11 } else { 4 };

    // Cargo takes a watched folder that is missing for one that has just changed, and would build the server
    // anew each time. If it cannot be made, that is what happens, and no worse.
    let _ = fs::create_dir_all(&dist);
    println!("cargo:rerun-if-changed={}", dist.display());
    println!("cargo:rerun-if-changed=build.rs");

    let mut files = read_files(&dist)?;
    if !files.iter().any(|(path, _)| path == "index.html") {
        files = vec![("index.html".to_owned(), NO_PAGE.into())];
    }
    let mut table = String::from("static ASSETS: &[Asset] = &[\n");
    for (number, (path, content)) in files.iter().enumerate() {
        let entry = Entry { stem: out.join(format!("asset{number}")), path, content };
        entry.write(quality, &mut table)?;
    }
    table.push_str("];\n\n");
    let index = files.iter().find(|(path, _)| path == "index.html").ok_or("no index.html")?;
    let policy = content_security_policy(std::str::from_utf8(&index.1)?)?;
    let about = "/// The `Content-Security-Policy` of every response.";
    writeln!(table, "{about}\npub(crate) const CONTENT_SECURITY_POLICY: &str = {policy:?};")?;
    fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

/// All files below `dist` with their paths, in order. Hidden ones are trunk's own.
fn read_files(dist: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut folders = vec![dist.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let path = entry.path();
            let below = path.strip_prefix(dist)?.to_str().ok_or("a file name is not UTF-8")?;
            files.push((below.replace('\\', "/"), fs::read(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

/// One file on its way into the table.
struct Entry<'a> {
    /// Where its compressed forms are put, without their endings.
    stem: PathBuf,
    path: &'a str,
    content: &'a [u8],
}

impl Entry<'_> {
    fn write(&self, quality: u32, table: &mut String) -> Result<()> {
        let plain = self.embed("plain", self.content)?;
        let br = self.embed_if_smaller("br", &brotli(self.content, quality)?)?;
        let gzip = self.embed_if_smaller("gz", &gzip(self.content)?)?;
        let hex = Sha256::digest(self.content)
            .iter()
            .take(12)
            .try_fold(String::new(), |mut hex, byte| write!(hex, "{byte:02x}").map(|()| hex))?;
        writeln!(
            table,
            "    Asset {{ path: {:?}, content_type: {:?}, hashed: {}, digest: {hex:?}, \
             plain: {plain}, br: {br}, gzip: {gzip} }},",
            self.path,
            content_type(self.path),
            is_hashed(self.path),
        )?;
        Ok(())
    }

    fn embed(&self, ending: &str, bytes: &[u8]) -> Result<String> {
        let file = self.stem.with_extension(ending);
        fs::write(&file, bytes)?;
        let path = file.to_str().ok_or("the build folder's name is not UTF-8")?;
        Ok(format!("include_bytes!({path:?})"))
    }

    fn embed_if_smaller(&self, ending: &str, bytes: &[u8]) -> Result<String> {
        if bytes.len() >= self.content.len() {
            return Ok("None".to_owned());
        }
        Ok(format!("Some({})", self.embed(ending, bytes)?))
    }
}

fn brotli(content: &[u8], quality: u32) -> Result<Vec<u8>> {
    const BUFFER_BYTES: usize = 64 << 10;
    const WINDOW_BITS: u32 = 22;
    let mut compressed = Vec::new();
    let mut writer =
        brotli::CompressorWriter::new(&mut compressed, BUFFER_BYTES, quality, WINDOW_BITS);
    writer.write_all(content)?;
    drop(writer);
    Ok(compressed)
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(content)?;
    Ok(writer.finish()?)
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether trunk put a hash of the content into the name, as in `ui-0123456789abcdef_bg.wasm`.
fn is_hashed(path: &str) -> bool {
    path.split(['-', '_', '.', '/'])
        .any(|part| part.len() >= 16 && part.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Allows what the page needs and nothing else. Inline scripts are allowed by their hash.
///
/// The page may connect to any host, because it can listen to other servers.
fn content_security_policy(index: &str) -> Result<String> {
    let mut hashes = String::new();
    for script in inline_scripts(index) {
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(script));
        write!(hashes, " 'sha256-{hash}'")?;
    }
    Ok(format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' blob:{hashes}; style-src 'self'; \
         img-src 'self' data: blob:; connect-src 'self' ws: wss: http: https:; worker-src 'self' blob:; \
         media-src 'self' blob: data:; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'self'"
    ))
}

/// The text of every `<script>` without a `src`.
fn inline_scripts(html: &str) -> Vec<&str> {
    let mut scripts = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once("<script") {
        let Some((attributes, after)) = after.split_once('>') else { break };
        let Some((text, after)) = after.split_once("</script") else { break };
        if !attributes.split_whitespace().any(|word| word.starts_with("src=")) {
            scripts.push(text);
        }
        rest = after;
    }
    scripts
}
