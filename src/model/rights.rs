use std::fmt;
use std::sync::Arc;

use super::name::ServiceName;

/// What somebody may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May look.
    Viewer,
    /// May move traffic.
    Operator,
    /// May also do what concerns Switchback itself.
    Admin,
}

/// A role, and where it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// Where.
    pub scope: Scope,
}

/// Which services a grant is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All, and Switchback itself.
    Everything,
    /// Those of these teams, and these.
    Of {
        /// Teams, as services' files name them.
        teams: Vec<Arc<str>>,
        /// Services.
        services: Vec<ServiceName>,
    },
}

/// All that was granted to somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(pub Vec<Grant>);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name under which records have them.
    pub name: Arc<str>,
    /// By what they are known.
    pub via: Via,
    /// From where: an address, or `unix`.
    pub from: Arc<str>,
    /// What they may do.
    pub rights: Rights,
}

/// By what somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// By their own word, or by nothing.
    Word,
    /// By a token.
    Token,
    /// By a certificate.
    Certificate,
    /// By a signed token of an identity provider (`OpenID` Connect).
    Oidc,
    /// By the system: a user of this machine.
    User,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    /// As configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl Scope {
    /// Whether a service of a team is in it.
    pub fn has(&self, service: &ServiceName, team: &str) -> bool {
        match self {
            Scope::Everything => true,
            Scope::Of { teams, services } => {
                teams.iter().any(|known| **known == *team) || services.contains(service)
            }
        }
    }

    /// Whether all services of a team are in it.
    pub fn has_team(&self, team: &str) -> bool {
        match self {
            Scope::Everything => true,
            Scope::Of { teams, .. } => teams.iter().any(|known| **known == *team),
        }
    }
}

impl Rights {
    /// Everything: who is alone with the machine needs no rights.
    pub fn unbounded() -> Self {
        Self(vec![Grant { role: Role::Admin, scope: Scope::Everything }])
    }

    /// Whether a role is held over a service.
    pub fn allow(&self, role: Role, service: &ServiceName, team: &str) -> bool {
        self.of(role).any(|grant| grant.scope.has(service, team))
    }

    /// Whether it is held over all services of a team.
    pub fn allow_team(&self, role: Role, team: &str) -> bool {
        self.of(role).any(|grant| grant.scope.has_team(team))
    }

    /// Whether it is held over everything.
    pub fn allow_everything(&self, role: Role) -> bool {
        self.of(role).any(|grant| grant.scope == Scope::Everything)
    }

    /// Whether it is held over anything at all.
    pub fn allow_anything(&self, role: Role) -> bool {
        self.of(role).next().is_some()
    }

    fn of(&self, role: Role) -> impl Iterator<Item = &Grant> {
        self.0.iter().filter(move |grant| grant.role >= role)
    }
}

impl Via {
    /// The word for records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Via::Word => "word",
            Via::Token => "token",
            Via::Certificate => "certificate",
            Via::Oidc => "oidc",
            Via::User => "user",
        }
    }

    /// Whether it proves who somebody is.
    pub const fn is_proof(self) -> bool {
        match self {
            Via::Word => false,
            Via::Token | Via::Certificate | Via::Oidc | Via::User => true,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope::Of { teams, services } = self else { return f.write_str("everything") };
        let teams = teams.iter().map(|team| format!("team {team}"));
        let services = services.iter().map(|service| format!("service {service}"));
        f.write_str(&teams.chain(services).collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {}", self.role, self.scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_holds_where_it_was_granted_and_includes_those_below() {
        let (own, other) = (ServiceName::parse("own").unwrap(), ServiceName::parse("other").unwrap());
        let of_team = Scope::Of { teams: vec!["squad".into()], services: Vec::new() };
        let of_service = Scope::Of { teams: Vec::new(), services: vec![other.clone()] };
        let rights = Rights(vec![
            Grant { role: Role::Operator, scope: of_team },
            Grant { role: Role::Viewer, scope: of_service },
        ]);
        for (role, service, team, allowed) in [
            (Role::Viewer, &own, "squad", true),
            (Role::Operator, &own, "squad", true),
            (Role::Admin, &own, "squad", false),
            (Role::Viewer, &other, "they", true),
            (Role::Operator, &other, "they", false),
            (Role::Viewer, &own, "they", false),
        ] {
            assert_eq!(rights.allow(role, service, team), allowed, "{role} {service} {team}");
        }
        assert!(rights.allow_team(Role::Operator, "squad") && !rights.allow_team(Role::Viewer, "they"));
        assert!(rights.allow_anything(Role::Operator) && !rights.allow_everything(Role::Viewer));
        assert!(Rights::unbounded().allow(Role::Admin, &own, "any"));
        assert!(!Rights::default().allow_anything(Role::Viewer));
    }
}
