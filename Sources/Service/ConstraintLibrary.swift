// SPDX-License-Identifier: Apache-2.0

import StructuredOutput
import Synchronization
import Tokenization

/// The constraints of a model, one for each schema: jobs with the same schema share what was found out about it.
public final class ConstraintLibrary: Sendable {
    private struct State {
        var trie: TokenTrie?
        var constraints: [String: JSONConstraint] = [:]
    }

    private let tokenizer: Tokenizer
    private let state = Mutex(State())
    /// Schemas that are remembered; each may hold tens of megabytes.
    private static let remembered = 16

    /// Makes a library; the vocabulary is read when a schema first needs it.
    public init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

    /// The constraint of a schema.
    public func constraint(for schema: String) throws(SchemaError) -> JSONConstraint {
        try state.withLock { state throws(SchemaError) in
            if let known = state.constraints[schema] { return known }
            let trie = state.trie ?? TokenTrie(tokenizer)
            state.trie = trie
            let constraint = try JSONConstraint(schema: schema, trie: trie)
            if state.constraints.count >= Self.remembered { state.constraints = [:] }
            state.constraints[schema] = constraint
            return constraint
        }
    }
}
