/// Whose turn it is.
///
/// A message that its receiver answers with 5xx each time would keep all others back for a day; but a receiver that is ill answers
/// everything like this. Which of the two it is, another message shows: if that arrives, and the first is answered with 5xx once
/// more, it is the message, which is set aside. If it does not, it is the receiver, and nothing is lost by waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// The first's in line.
    #[default]
    First,
    /// Another one's, if there is one.
    Other,
    /// The first's for the last time: another one has just arrived.
    Last,
}

/// Who was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The first in line, which was answered with 5xx so often by now.
    First { answers: u32 },
    /// Another one, of another service.
    Other,
    /// Another one, of the same service.
    Next,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Arrived,
    /// It was answered with 5xx.
    Answered,
    /// Something that says nothing about the message: there was no answer, it was asked too often, a key is wrong.
    Otherwise,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Try(Turn),
    /// It is the receiver that is ill: the first is tried again, and answers are counted anew.
    Wait,
    /// It is the first message: it is set aside, and the one behind it is tried.
    SetAside,
}

/// Answers of 5xx to one message before it is tried whether others arrive. By then a receiver that was restarted is back.
const ANSWERS: u32 = 8;

/// What is to be done after a try.
pub(super) fn then(turn: Turn, who: Who, came: Came) -> Then {
    match (who, came) {
        (Who::Other, Came::Arrived) => Then::Try(Turn::Last),
        // After a later message of its service an earlier one says what is true no more.
        (Who::Next, Came::Arrived) => Then::SetAside,
        (Who::Other | Who::Next, Came::Answered | Came::Otherwise) => Then::Wait,
        (Who::First { .. }, Came::Answered) if turn == Turn::Last => Then::SetAside,
        (Who::First { answers: ANSWERS.. }, Came::Answered) => Then::Try(Turn::Other),
        (Who::First { .. }, Came::Arrived | Came::Answered | Came::Otherwise) => Then::Try(Turn::First),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_message_shows_whether_it_is_the_message_or_the_receiver() {
        let first = |answers| Who::First { answers };
        for answers in 1..ANSWERS {
            assert_eq!(
                then(Turn::First, first(answers), Came::Answered),
                Then::Try(Turn::First),
                "{answers}"
            );
        }
        for answers in ANSWERS..ANSWERS + 3 {
            assert_eq!(
                then(Turn::First, first(answers), Came::Answered),
                Then::Try(Turn::Other),
                "{answers}"
            );
        }
        assert_eq!(then(Turn::Other, Who::Other, Came::Answered), Then::Wait);
        assert_eq!(then(Turn::Other, Who::Other, Came::Otherwise), Then::Wait);
        assert_eq!(then(Turn::Other, Who::Other, Came::Arrived), Then::Try(Turn::Last));
        assert_eq!(then(Turn::Last, first(ANSWERS), Came::Answered), Then::SetAside);
        assert_eq!(then(Turn::Last, first(ANSWERS), Came::Otherwise), Then::Try(Turn::First));
        assert_eq!(then(Turn::Other, Who::Next, Came::Arrived), Then::SetAside, "nothing is overtaken");
    }
}
