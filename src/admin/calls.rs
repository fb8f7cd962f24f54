//! A list of calls, from which they are answered and described.
//!
//! What is said of them is made when somebody asks for it, and not when they begin to be answered: it is larger than all else that
//! a quiet process keeps, and few ever ask.

use axum::Router;
use utoipa_axum::router::OpenApiRouter;

use super::routes::Shared;

/// Some calls.
pub(super) struct Calls {
    /// What answers them.
    pub(super) answered: fn() -> Router<Shared>,
    /// What the document says of them.
    pub(super) described: fn() -> OpenApiRouter<Shared>,
}

/// Calls by their handlers, those of one path in one pair of brackets. Paths and methods are said beside the handlers.
macro_rules! calls {
    ($([$($module:ident :: $handler:ident),+]),+ $(,)?) => {
        $crate::admin::calls::Calls {
            answered: || {
                use utoipa::Path as _;
                use utoipa_axum::PathItemExt as _;
                let mut router = axum::Router::new();
                $($(
                    let (path, methods) = utoipa_axum::paste! {
                        ($module::[<__path_ $handler>]::path(), $module::[<__path_ $handler>]::methods())
                    };
                    for method in methods {
                        router = router.route(&path, axum::routing::on(method.to_method_filter(), $module::$handler));
                    }
                )+)+
                router
            },
            described: || {
                utoipa_axum::router::OpenApiRouter::default()
                    $(.routes(utoipa_axum::routes!($($module::$handler),+)))+
            },
        }
    };
}

pub(super) use calls;
