//! The checked-in bindings are what the files in `proto/` say.
#![expect(clippy::expect_used, reason = "a test says what it needs")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The interfaces: the file under `proto/`, and the generated file under `src/generated/`.
/// Each has a folder of its own, because two of them may share a package name.
const INTERFACES: [(&str, &str); 2] = [
    ("deviceplugin/v1beta1/api.proto", "deviceplugin/v1beta1.rs"),
    ("podresources/v1/api.proto", "podresources/v1.rs"),
];

fn generate(proto_root: &Path, proto: &str, out_dir: &Path) {
    let descriptors =
        protox::compile([proto_root.join(proto)], [proto_root]).expect("the proto file compiles");
    tonic_prost_build::configure()
        .build_transport(false)
        .btree_map(".")
        .out_dir(out_dir)
        .compile_fds(descriptors)
        .expect("code can be generated");
}

#[test]
fn the_checked_in_code_is_what_proto_says() {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto_root: PathBuf = crate_root.join("../../proto");
    let bless = env::var_os("BLESS").is_some_and(|value| value == "1");

    for (proto, generated) in INTERFACES {
        let fresh_dir = tempfile::tempdir().expect("a temporary directory");
        generate(&proto_root, proto, fresh_dir.path());
        let file_name = Path::new(generated).file_name().expect("a file name");
        let fresh = fs::read_to_string(fresh_dir.path().join(file_name))
            .expect("the generator named its output after the package");

        let checked_in = crate_root.join("src/generated").join(generated);
        if bless {
            fs::create_dir_all(checked_in.parent().expect("a folder")).expect("a folder");
            fs::write(&checked_in, &fresh).expect("the file can be written");
        }
        let current = fs::read_to_string(&checked_in).unwrap_or_default();
        assert!(
            current == fresh,
            "`{}` is not what `proto/{proto}` generates; \
             run `BLESS=1 cargo test -p kubelet-api --test generated`",
            checked_in.display(),
        );
    }
}
