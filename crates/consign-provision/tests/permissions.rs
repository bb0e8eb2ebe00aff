//! The policy that `permissions` prints is enough, and without any one action of it something
//! fails: tried on the local cloud, as a user who holds it and nothing else.

use crate::support::place::Place;
use crate::support::{self, desired};
use consign_cloud::Cloud;
use consign_cloud::iam::Holder;
use consign_provision::plan::Action;
use consign_provision::{
    Desired, Error, Hands, Keys, Plan, Step, apply, observe, permissions, plan, plan_destroy,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const ACCOUNT: &str = "111111111111";
const OTHER: &str = "222222222222";

/// A user, a role that exists and a role to make, in one account, and one lane.
fn text(trust: &str) -> String {
    format!(
        r#"
version = 1
exchange = "acme-globex"
region = "eu-west-1"
[party.acme]
account = "{ACCOUNT}"
principal = "user/consign/acme"
[party.globex]
account = "{ACCOUNT}"
principal = "role/consign/globex"
trust = "arn:aws:iam::{trust}:root"
[lane.to-client]
from = "acme"
to = ["globex"]
"#
    )
}

/// A place with somebody in it who may deploy and nothing else.
struct Site {
    place: Place,
    admin: Cloud,
    deployer: Cloud,
}

impl Site {
    async fn start() -> Site {
        let place = Place::start().await;
        let admin = place.admin(ACCOUNT).await;
        admin.iam().create_user("/", "deployer", &BTreeMap::new()).await.expect("a user");
        let key = admin.iam().create_access_key("deployer").await.expect("a key");
        let deployer = place.cloud(key).await;
        Site { place, admin, deployer }
    }

    async fn allow(&self, policy: &str) {
        let holder = Holder::User("deployer");
        self.admin.iam().put_policy(holder, "deploy", policy).await.expect("a policy");
    }

    fn hands(&self, cloud: &Cloud) -> Hands {
        let account = consign_model::AccountId::parse(ACCOUNT).expect("an account");
        Hands::none().with(account, cloud.clone())
    }

    /// Everything that planning, applying and destroying can come to do: build, change a trust, be
    /// stopped while taking down, build again, take down.
    async fn everything(&self, hands: &Hands) -> Result<(), Error> {
        let [first, second] = [ACCOUNT, OTHER].map(|trust| desired(&text(trust)));
        for desired in [&first, &second] {
            let observed = observe(desired, hands).await?;
            carry_out(&plan(desired, &observed)?, desired, hands, None).await?;
        }
        self.admin.iam().create_access_key("acme").await.expect("a key to delete with the user");
        let down = plan_destroy(&second, &observe(&second, hands).await?)?;
        let named = |step: &Step| matches!(step.action, Action::DeleteAlias { .. });
        carry_out(&down, &second, hands, down.steps.iter().position(named)).await?;
        let again = plan(&second, &observe(&second, hands).await?)?;
        carry_out(&again, &second, hands, None).await?;
        let down = plan_destroy(&second, &observe(&second, hands).await?)?;
        carry_out(&down, &second, hands, None).await
    }

    /// Whatever was left half way.
    async fn clean(&self) {
        let desired = desired(&text(ACCOUNT));
        let hands = self.hands(&self.admin);
        let observed = observe(&desired, &hands).await.expect("an observation");
        let down = plan_destroy(&desired, &observed);
        // A bucket without tags yet is only ours to finish.
        let down = match down {
            Ok(down) => down,
            Err(_) => {
                let up = plan(&desired, &observed).expect("a plan");
                carry_out(&up, &desired, &hands, None).await.expect("built");
                let observed = observe(&desired, &hands).await.expect("an observation");
                plan_destroy(&desired, &observed).expect("a plan")
            }
        };
        carry_out(&down, &desired, &hands, None).await.expect("taken down");
    }
}

/// Carries out a plan, or its steps before number `stop`.
async fn carry_out(
    plan: &Plan,
    desired: &Desired,
    hands: &Hands,
    stop: Option<usize>,
) -> Result<(), Error> {
    let mut watch = |number, _: &Step| match stop {
        Some(stop) if number == stop => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    match apply(plan, desired, hands, &Keys::new(), &mut watch).await {
        Err(error)
            if stop.is_some() && error.kind() == consign_provision::ErrorKind::Interrupted =>
        {
            Ok(())
        }
        result => result.map(drop),
    }
}

#[tokio::test]
async fn the_printed_policy_is_enough_and_nothing_in_it_is_idle() {
    let site = Site::start().await;
    let desired = desired(&text(ACCOUNT));
    let account = consign_model::AccountId::parse(ACCOUNT).expect("an account");
    let policy = permissions(&desired, &account).expect("a policy").to_json();
    let hands = site.hands(&site.deployer);
    site.allow(&policy).await;
    if let Err(error) = site.everything(&hands).await {
        panic!(
            "not enough: {error}: {:?}",
            std::error::Error::source(&error).map(ToString::to_string)
        );
    }

    let document: serde_json::Value = serde_json::from_str(&policy).expect("JSON");
    let statements = document["Statement"].as_array().expect("statements");
    let mut idle = Vec::new();
    let mut tried = 0;
    for (at, statement) in statements.iter().enumerate() {
        for action in statement["Action"].as_array().expect("actions") {
            let mut less = document.clone();
            let actions = less["Statement"][at]["Action"].as_array_mut().expect("actions");
            actions.retain(|it| it != action);
            site.allow(&less.to_string()).await;
            if site.everything(&hands).await.is_ok() {
                idle.push(action.to_string());
            }
            site.clean().await;
            tried += 1;
        }
    }
    println!("{tried} actions, each taken away once; {} characters", policy.len());
    assert!(idle.is_empty(), "nothing fails without {idle:?}");
    site.place.running.shutdown().await;
}

#[test]
fn a_hub_s_policy_does_not_grow_with_its_partners() {
    let account = consign_model::AccountId::parse(ACCOUNT).expect("an account");
    let size = |partners| {
        let desired = desired(&support::hub(partners));
        permissions(&desired, &account).expect("a policy").to_json().len()
    };
    assert_eq!(size(1), size(200));
}
