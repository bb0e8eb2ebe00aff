//! The reasoning behind a decision: every statement of every policy that has a say, and why each of
//! its parts held or not. As a sentence, as a tree for a terminal, and as JSON.

use std::fmt;

use serde::Serialize;

use crate::condition::Condition;
use crate::decision::{Decision, Effect, Layer, StatementRef, join};
use crate::evaluate::{Policies, evaluate, grant_reference, layers};
use crate::pattern::Match;
use crate::policy::{Named, Policy, Principals, Resources, Statement, StatementEffect};
use crate::request::{Found, Request};

/// A decision with everything that led to it. `Display` gives the sentence and the tree.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The answer.
    pub decision: Decision,
    /// The answer as a sentence.
    pub sentence: String,
    /// Who asked.
    pub principal: String,
    /// For which action.
    pub action: String,
    /// On which resource.
    pub resource: String,
    /// The policies that had a say, outermost first.
    pub layers: Vec<LayerTrace>,
}

/// The statements of one layer, or one level of an organisation.
#[derive(Clone, Debug, Serialize)]
pub struct LayerTrace {
    /// Which layer.
    pub layer: Layer,
    /// Which level of the organisation, from the root down; 0 for other layers.
    pub level: usize,
    /// Its statements, in order.
    pub statements: Vec<StatementTrace>,
}

/// What one statement had to say.
#[derive(Clone, Debug, Serialize)]
pub struct StatementTrace {
    /// Which statement.
    #[serde(flatten)]
    pub reference: StatementRef,
    /// What it does when it applies.
    pub effect: StatementEffect,
    /// Whether it applied.
    pub applies: bool,
    /// Its parts, in the order of the policy language: principal, action, resource, conditions.
    pub checks: Vec<Check>,
}

/// One part of a statement against the request.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// `principal`, `action`, `resource` or `condition`.
    pub part: Part,
    /// Whether it held.
    pub holds: bool,
    /// What was asked, and what the request has.
    pub text: String,
}

/// A part of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// `Principal` or `NotPrincipal`
    Principal,
    /// `Action` or `NotAction`
    Action,
    /// `Resource` or `NotResource`
    Resource,
    /// One key of `Condition`
    Condition,
}

/// Decides a request as [`evaluate`] does, and tells how.
pub fn explain(request: &Request, policies: &Policies<'_>) -> Explanation {
    let decision = evaluate(request, policies);
    let has_boundary = policies.boundary.is_some();
    let mut traces: Vec<LayerTrace> = layers(request, policies)
        .map(|(layer, level, documents)| LayerTrace {
            layer,
            level,
            statements: trace_documents(layer, level, documents, request, has_boundary),
        })
        .collect();
    if !policies.grants.is_empty() {
        traces.push(trace_grants(request, policies));
    }
    Explanation {
        sentence: sentence(request, &decision, &traces),
        decision,
        principal: request.principal().to_string(),
        action: request.action().to_owned(),
        resource: request.resource().to_owned(),
        layers: traces,
    }
}

fn trace_documents(
    layer: Layer,
    level: usize,
    documents: &[Policy],
    request: &Request,
    has_boundary: bool,
) -> Vec<StatementTrace> {
    let mut traces = Vec::new();
    for (policy, document) in documents.iter().enumerate() {
        for (index, statement) in document.statements().iter().enumerate() {
            let sid = statement.sid.clone();
            traces.push(StatementTrace {
                reference: StatementRef { layer, level, policy, statement: index, sid },
                effect: statement.effect,
                applies: statement.applies(request, has_boundary).is_some(),
                checks: checks(statement, request, has_boundary),
            });
        }
    }
    traces
}

fn trace_grants(request: &Request, policies: &Policies<'_>) -> LayerTrace {
    let grants = policies.grants.iter().enumerate();
    let statements = grants.map(|(index, grant)| StatementTrace {
        reference: grant_reference(index),
        effect: StatementEffect::Allow,
        applies: grant.applies(request).is_some(),
        checks: Vec::new(),
    });
    LayerTrace { layer: Layer::Grant, level: 0, statements: statements.collect() }
}

fn checks(statement: &Statement, request: &Request, has_boundary: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    let principals = match &statement.principals {
        Principals::Attached => None,
        Principals::Named(named) => Some(("Principal", named)),
        Principals::AllBut(named) => Some(("NotPrincipal", named)),
    };
    if let Some((element, named)) = principals {
        let entries =
            named.iter().map(|named| (named.to_string(), named.covers(request).is_some()));
        checks.push(Check {
            part: Part::Principal,
            holds: statement.principals.include(request, has_boundary).is_some(),
            text: format!("{element} {}", listed(entries)),
        });
    }
    let actions = &statement.actions;
    let entries = actions.sources.iter().zip(&actions.patterns);
    let entries =
        entries.map(|(source, pattern)| (source.clone(), pattern.matches(request.action_folded())));
    let element = if actions.negated { "NotAction" } else { "Action" };
    checks.push(Check {
        part: Part::Action,
        holds: actions.include(request),
        text: format!("{element} {}", listed(entries)),
    });
    let resources = match &statement.resources {
        Resources::Any => None,
        Resources::Named(patterns) => Some(("Resource", patterns)),
        Resources::AllBut(patterns) => Some(("NotResource", patterns)),
    };
    if let Some((element, patterns)) = resources {
        let entries = patterns.iter().map(|pattern| {
            let matches = pattern.compare(request.resource(), request) == Match::Yes;
            (pattern.source().to_owned(), matches)
        });
        checks.push(Check {
            part: Part::Resource,
            holds: statement.resources.include(request),
            text: format!("{element} {}", listed(entries)),
        });
    }
    checks.extend(statement.conditions.iter().map(|condition| Check {
        part: Part::Condition,
        holds: condition.holds(request),
        text: condition_text(condition, request),
    }));
    checks
}

/// The entries that match, if any do: they are the reason. Otherwise the first few of all.
fn listed(entries: impl Iterator<Item = (String, bool)>) -> String {
    const SHOWN_MAX: usize = 4;
    let (matching, others): (Vec<_>, Vec<_>) = entries.partition(|(_, matches)| *matches);
    let shown = if matching.is_empty() { others } else { matching };
    let texts: Vec<&str> = shown.iter().take(SHOWN_MAX).map(|(text, _)| text.as_str()).collect();
    match shown.len().saturating_sub(SHOWN_MAX) {
        0 => texts.join(", "),
        more => format!("{}, and {more} more", texts.join(", ")),
    }
}

/// `aws:SecureTransport is "false" (Bool "false")`
fn condition_text(condition: &Condition, request: &Request) -> String {
    let has = match request.values(&condition.key) {
        Found::Absent => "is absent".to_owned(),
        Found::One(value) => format!("is {value:?}"),
        Found::Many(values) => format!("is {values:?}"),
    };
    let wanted: Vec<String> =
        condition.operands.sources().iter().map(|value| format!("{value:?}")).collect();
    format!("{} {has} ({} {})", condition.key, condition.operator, wanted.join(", "))
}

fn sentence(request: &Request, decision: &Decision, traces: &[LayerTrace]) -> String {
    let may = if decision.is_allowed() { "may" } else { "may not" };
    let head =
        format!("{} {may} {} on {}", request.principal(), request.action(), request.resource());
    let reason = decision.explain();
    let reason = reason.strip_prefix("denied: ").unwrap_or(&reason);
    if decision.effect != Effect::ExplicitDeny {
        return format!("{head}: {reason}");
    }
    let because = decision.decided_by.first().and_then(|first| {
        let statement =
            traces.iter().flat_map(|trace| &trace.statements).find(|s| s.reference == *first)?;
        let conditions = statement.checks.iter().filter(|check| check.part == Part::Condition);
        let texts = join(conditions.map(|check| check.text.clone()), "and");
        (!texts.is_empty()).then(|| format!(", because {texts}"))
    });
    format!("{head}: {reason}{}", because.unwrap_or_default())
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.sentence)?;
        for trace in &self.layers {
            match trace.layer {
                Layer::ResourceControl | Layer::ServiceControl => {
                    writeln!(f, "{}, level {}", trace.layer, trace.level + 1)?;
                }
                Layer::Resource => writeln!(f, "{}", self.decision.resource_policy)?,
                layer => writeln!(f, "{layer}")?,
            }
            trace.write_statements(f)?;
        }
        Ok(())
    }
}

impl LayerTrace {
    /// Statements about other actions are counted, not listed.
    fn write_statements(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let concerns = |statement: &&StatementTrace| {
            statement.checks.iter().all(|check| check.part != Part::Action || check.holds)
        };
        let listed: Vec<&StatementTrace> = self.statements.iter().filter(concerns).collect();
        let others = self.statements.len() - listed.len();
        for (index, statement) in listed.iter().enumerate() {
            let last = index + 1 == listed.len() && others == 0;
            let (branch, stem) = if last { ("└─", "   ") } else { ("├─", "│  ") };
            let verdict = if statement.applies { "applies" } else { "does not apply" };
            let effect = format!("{:?}", statement.effect);
            writeln!(f, "{branch} {effect} {} {verdict}", statement.reference.name())?;
            for check in &statement.checks {
                let mark = if check.holds { "✓" } else { "✗" };
                writeln!(f, "{stem}  {mark} {}", check.text)?;
            }
        }
        match others {
            0 => Ok(()),
            1 => writeln!(f, "└─ 1 statement is about other actions"),
            count => writeln!(f, "└─ {count} statements are about other actions"),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Named::Everyone => f.write_str("*"),
            Named::Account(text) | Named::Arn(text) => f.write_str(text),
            Named::Service(text) | Named::Federated(text) => f.write_str(text),
            Named::AnyService => f.write_str("every service"),
            Named::Nobody(text) => write!(f, "{text} (matches nobody)"),
        }
    }
}
