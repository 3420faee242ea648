// SPDX-License-Identifier: Apache-2.0

/// Something that can be called.
final class Function: @unchecked Sendable {
    // A rendering runs on one thread, and no value outlives it.
    enum Body {
        /// One of the functions that every template has.
        case builtin(Builtin)
        /// A method of the receiver, by name.
        case method(String)
        /// A macro, or the body of a `call` block, with the variables around it.
        case macro(Macro, Scope)
        /// A loop, which a recursive one can call.
        case loop(LoopState)
    }

    let body: Body
    let receiver: Value?

    init(_ body: Body, receiver: Value? = nil) {
        self.body = body
        self.receiver = receiver
    }
}

/// The functions that every template has.
enum Builtin: String, CaseIterable {
    case range, dict, namespace
    case raise = "raise_exception"
    case now = "strftime_now"
}

/// The variable `loop` of one run of a loop.
final class LoopState {
    var items: [Value]
    /// The place of the current item.
    var index = -1
    let depth: Int
    let statement: ForLoop
    let scope: Scope
    var lastChanged: Value?

    init(_ items: [Value], depth: Int, statement: ForLoop, scope: Scope) {
        self.items = items
        self.depth = depth
        self.statement = statement
        self.scope = scope
    }

    /// An attribute, nil where there is none of this name.
    func attribute(_ name: String) -> Value? {
        switch name {
        case "index": .int(index + 1)
        case "index0": .int(index)
        case "revindex": .int(items.count - index)
        case "revindex0": .int(items.count - index - 1)
        case "first": .bool(index == 0)
        case "last": .bool(index == items.count - 1)
        case "length": .int(items.count)
        case "depth": .int(depth + 1)
        case "depth0": .int(depth)
        case "previtem": index > 0 ? items[index - 1] : .undefined("there is no previous item")
        case "nextitem": index + 1 < items.count ? items[index + 1] : .undefined("there is no next item")
        default: nil
        }
    }
}

/// Variables of a part of a template, within those around it.
final class Scope: @unchecked Sendable {
    var values: [String: Value] = [:]
    let parent: Scope?

    init(in parent: Scope?) { self.parent = parent }

    subscript(name: String) -> Value? {
        var scope: Scope? = self
        while let current = scope {
            if let value = current.values[name] { return value }
            scope = current.parent
        }
        return nil
    }
}
