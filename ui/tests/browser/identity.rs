//! Pages of one browser and their ids, over the browser's own channel.

use std::collections::BTreeSet;

use crate::support::until;
use ui::identity::Identity;
use wasm_bindgen_test::wasm_bindgen_test;

/// The id of a page that has the say over it: from then on it is the same each time.
async fn settled(page: &Identity) -> String {
    until("the id is settled", || page.client_id() == page.client_id()).await;
    page.client_id()
}

#[wasm_bindgen_test]
async fn pages_share_no_id_and_keep_theirs_over_visits() {
    let (first, second) = (Identity::claim(), Identity::claim());
    let (first_id, second_id) = (settled(&first).await, settled(&second).await);
    assert_ne!(first_id, second_id, "two open pages");
    assert_eq!(first_id.len(), 32);

    let third = Identity::claim();
    let third_id = settled(&third).await;
    assert!(third_id != first_id && third_id != second_id, "three open pages");
    assert_eq!(settled(&first).await, first_id, "the older page keeps its id");

    drop((first, second, third));
    let (again, beside) = (Identity::claim(), Identity::claim());
    let next_visit = BTreeSet::from([settled(&again).await, settled(&beside).await]);
    assert_eq!(next_visit, BTreeSet::from([first_id, second_id]));
}

#[wasm_bindgen_test]
fn a_page_that_joins_at_once_risks_nobody_elses_id() {
    let (first, second) = (Identity::claim(), Identity::claim());
    assert_ne!(first.client_id(), second.client_id());
}
