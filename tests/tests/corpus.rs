//! Every input that the fuzzer kept, or that was found to break something, once more.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

#[test]
fn no_input_of_the_corpus_breaks_anything() -> Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let folder = corpus.join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            println!("{}", path.display());
            target(&fs::read(&path)?);
            inputs += 1;
        }
        ensure!(inputs > 0, "no inputs in {}", folder.display());
    }
    Ok(())
}
