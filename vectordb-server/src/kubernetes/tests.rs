//! The client against a small API in this process.

use super::fake::{CLUSTER, FakeApi, Mood, SCALE, SET};
use super::*;

async fn pod(api: &FakeApi, name: &str) -> Kubernetes {
    let directory = tempfile::tempdir().expect("a directory");
    let config = KubernetesConfig {
        enabled: true,
        kubeconfig: Some(api.kubeconfig(directory.path())),
        pod: Some(name.to_owned()),
        namespace: Some("db".to_owned()),
    };
    Kubernetes::open(&config).await.expect("it says who it is")
}

#[test]
fn a_pod_knows_its_set_by_its_name() {
    assert_eq!(set_and_ordinal("my-db-12"), Ok(("my-db".to_owned(), 12)));
    for other in ["qdrant", "qdrant-x", ""] {
        assert!(matches!(set_and_ordinal(other), Err(Trouble::Settings(_))), "{other}");
    }
}

#[tokio::test]
async fn one_cluster_is_founded_whoever_asks_and_however_often() {
    let api = FakeApi::start();
    let (first, second) = (pod(&api, "qdrant-0").await, pod(&api, "qdrant-1").await);
    let (one, two) = tokio::join!(first.claim_founding("1/a"), second.claim_founding("2/b"));
    let granted = [&one, &two].iter().filter(|answer| ***answer == Ok(Founding::Granted)).count();
    assert_eq!(granted, 1, "{one:?} {two:?}");
    let founder = api.get(CLUSTER)["data"]["founder"].as_str().expect("it is noted").to_owned();
    assert_eq!(second.claim_founding(&founder).await, Ok(Founding::Granted), "who was cut short goes on");
    assert_eq!(first.claim_founding("1/another disk").await, Ok(Founding::TakenBy(founder)));
}

#[tokio::test]
async fn without_an_answer_nothing_is_granted_and_nobody_waits_for_long() {
    let api = FakeApi::start();
    let pod = pod(&api, "qdrant-0").await;
    for mood in [Mood::Refuses, Mood::Hangs, Mood::Away] {
        api.is(mood);
        let begun = Instant::now();
        let claimed = pod.claim_founding("1/a").await.expect_err("nobody granted it");
        let expected = if mood == Mood::Refuses { claimed.is(403) } else { matches!(claimed, Trouble::Away(_)) };
        assert!(expected && begun.elapsed() < Duration::from_secs(10), "{mood:?}: {claimed}");
        assert!(pod.replicas().await.is_err() && pod.addresses("qdrant-headless").await.is_err());
    }
    api.is(Mood::Answers);
    assert_eq!(pod.claim_founding("1/a").await, Ok(Founding::Granted));
}

#[tokio::test]
async fn other_pods_are_found_ready_or_not() {
    let api = FakeApi::start();
    let endpoint = |n: u8, ready: bool| json!({"addresses": [format!("10.0.0.{n}")], "conditions": {"ready": ready}, "targetRef": {"name": format!("qdrant-{n}")}});
    let slices =
        json!({"items": [{"endpoints": [endpoint(0, true), endpoint(1, false)]}, {"endpoints": null}, {"endpoints": [endpoint(2, true)]}]});
    api.put("/apis/discovery.k8s.io/v1/namespaces/db/endpointslices", slices);
    let found = pod(&api, "qdrant-0").await.addresses("qdrant-headless").await.expect("an answer");
    let expected: BTreeSet<IpAddr> = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().expect("an address")).into();
    assert_eq!(found, expected);
    assert!(api.asked().iter().any(|asked| asked.contains("service-name%3Dqdrant-headless")), "{:?}", api.asked());
}

#[tokio::test]
async fn a_set_is_scaled_past_its_guard_which_is_up_again_afterwards() {
    let api = FakeApi::start();
    let pod = pod(&api, "qdrant-1").await;
    api.deafen(3);
    pod.scale(2).await.expect("it is allowed for the moment");
    assert_eq!(api.get(SET)["spec"]["replicas"], 2);
    assert_eq!((pod.floor().await, pod.replicas().await), (Ok(None), Ok(2)));
    pod.scale(5).await.expect("more is always allowed");
    assert_eq!((pod.ordinal(), pod.replicas().await), (1, Ok(5)));
    // Somebody's own guard, or none.
    api.put(SCALE, Value::Null);
    pod.set_floor(Some(4)).await.expect("it is noted");
    assert_eq!(pod.floor().await, Ok(Some(4)));
    assert!(pod.scaling_by_hand(3).contains("kubectl -n db scale statefulset qdrant --replicas=3"));
}

#[tokio::test]
async fn events_are_told_at_the_set() {
    let api = FakeApi::start();
    let pod = pod(&api, "qdrant-1").await;
    pod.tell(&Happening { reason: "PeerJoined", note: "a peer joined".to_owned() }).await.expect("it is told");
    assert_eq!(api.reasons(), ["PeerJoined"]);
    let asked = api.asked();
    assert!(asked.iter().any(|asked| asked == "POST /apis/events.k8s.io/v1/namespaces/db/events"), "{asked:?}");
}
