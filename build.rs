//! Embeds the web interface: each file that `npm run build` left in `ui/dist`, compressed (gzip), as a table of names
//! and bytes that `src/web/ui.rs` includes. Without `ui/dist` the table is empty, and the server says how to build it.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("ui/dist");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Cargo looks for changes in a folder; one that is missing would count as changed each time.
    fs::create_dir_all(&dist)?;
    println!("cargo:rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    collect(&dist, &mut files)?;
    files.sort();
    let folder = out.join("ui");
    fs::create_dir_all(&folder)?;
    let mut table = String::from("&[\n");
    for (n, file) in files.iter().enumerate() {
        let name = file.strip_prefix(&dist)?.to_str().ok_or("names of files in ui/dist are UTF-8")?;
        let packed = folder.join(format!("{n}.gz"));
        // No time and no name in the header: the same files give the same binary.
        let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&packed)?, flate2::Compression::best());
        encoder.write_all(&fs::read(file)?)?;
        encoder.finish()?;
        writeln!(table, "    ({name:?}, include_bytes!({:?})),", packed.display())?;
    }
    table.push_str("]\n");
    fs::write(out.join("ui.rs"), table)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
