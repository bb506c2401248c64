//! The program trunk builds: everything is in the library, where the headless tests can reach it.

fn main() {
    ui::start();
}
