import Foundation
// SPDX-License-Identifier: Apache-2.0
import Tokenization

/// A long context and questions about it, each with one right answer.
public struct RetrievalContext: Sendable {
    /// A question: what follows the context, and the parts of it that the model is to know.
    public struct Question: Sendable {
        /// What it asks for.
        public let task: RetrievalTask
        /// Tokens after the context.
        public internal(set) var tokens: [Int32] = []
        /// For each token, whether it belongs to an answer.
        public internal(set) var isAnswer: [Bool] = []
    }

    /// Tokens of the context, a whole number of KV pages.
    public let tokens: [Int32]
    /// The questions, which do not see each other.
    public let questions: [Question]

    /// Tokens of contexts, in turn.
    public static let lengths = [1536, 2560, 3584]
    /// Keys hidden in a context, each at a depth of its own.
    public static let keys = 10
    /// Chains hidden in a context.
    public static let chains = 5

    /// Makes contexts with together at least `questions` questions about keys, and half as many about chains. The same
    /// arguments give the same contexts.
    public static func make(
        questions: Int, lengths: [Int] = RetrievalContext.lengths, tokenizer: Tokenizer
    ) -> [RetrievalContext] {
        (0..<(questions + keys - 1) / keys).map { index in
            var random = SeededGenerator(seed: UInt64(index))
            let facts = RetrievalTask.lookups(keys, &random) + RetrievalTask.links(chains, &random)
            return ContextWriter(tokenizer: tokenizer).write(
                facts, length: lengths[index % lengths.count], random: &random)
        }
    }
}

/// What is hidden and asked for.
public enum RetrievalTask: String, Sendable, CaseIterable {
    /// Keys with values: five digits, random letters and digits, or a word.
    case lookup
    /// Chains of two links: who is whose friend, and what is the friend's number. Each link is asked given the right one
    /// before, and all of them must be right.
    case tracing

    /// Sentences to hide, in order, and a question about them.
    struct Fact {
        var task: RetrievalTask
        var sentences: [String]
        /// Given texts and answers in turn.
        var question: [String]
    }

    fileprivate static func lookups(_ count: Int, _ random: inout SeededGenerator) -> [Fact] {
        let qualities = random.order(of: RetrievalText.qualities.count),
            things = random.order(of: RetrievalText.things.count)
        return (0..<count).map { index in
            let key = RetrievalText.qualities[qualities[index]] + " " + RetrievalText.things[things[index]]
            let value = value(kind: index % 3, &random)
            return Fact(
                task: .lookup, sentences: ["The secret code of the \(key) is \(value)."],
                question: ["\n\nThe secret code of the \(key) is", " \(value)"])
        }
    }

    fileprivate static func links(_ count: Int, _ random: inout SeededGenerator) -> [Fact] {
        let names = random.order(of: RetrievalText.names.count).map { RetrievalText.names[$0] }
        return (0..<count).map { index in
            let first = names[2 * index], second = names[2 * index + 1], value = value(kind: 0, &random)
            return Fact(
                task: .tracing,
                sentences: ["The secret number of \(first) is \(value).", "The best friend of \(second) is \(first)."],
                question: [
                    "\n\nThe best friend of \(second) is", " \(first)", ". The secret number of \(first) is",
                    " \(value)",
                ])
        }
    }

    private static func value(kind: Int, _ random: inout SeededGenerator) -> String {
        switch kind {
        case 0: return String((0..<5).map { _ in "0123456789".randomElement(using: &random) ?? "0" })
        case 1:
            return String((0..<6).map { _ in "abcdefghijkmnpqrstuvwxyz23456789".randomElement(using: &random) ?? "a" })
        default: return RetrievalText.names[random.below(RetrievalText.names.count)]
        }
    }
}

/// Writes sentences between others, to an exact number of tokens.
struct ContextWriter {
    let tokenizer: Tokenizer

    func write(
        _ facts: [RetrievalTask.Fact], length: Int, random: inout SeededGenerator
    ) -> RetrievalContext {
        // A chain's links stand far apart, so that no neighbour gives them away.
        let rounds = facts.map(\.sentences.count).max() ?? 0
        let sentences = (0..<rounds).flatMap { round in facts.compactMap { $0.sentences.dropFirst(round).first } }
        let hidden = random.order(of: sentences.count).map { sentences[$0] }
        var tokens = [tokenizer.beginningOfText].compactMap { $0 } + tokenizer.encode("Remember what is said here.")
        for (index, sentence) in hidden.enumerated() {
            fill(&tokens, to: Int(Double(length) * (Double(index) + 0.5) / Double(hidden.count)), &random)
            tokens += tokenizer.encode(" " + sentence)
        }
        fill(&tokens, to: length, &random)
        return RetrievalContext(
            tokens: Array(tokens.prefix(length)),
            questions: facts.map { question($0) })
    }

    /// Parts are encoded apart, so that an answer begins with a token of its own.
    private func question(_ fact: RetrievalTask.Fact) -> RetrievalContext.Question {
        var question = RetrievalContext.Question(task: fact.task)
        for (index, part) in fact.question.enumerated() {
            let tokens = tokenizer.encode(part)
            question.tokens += tokens
            question.isAnswer += tokens.map { _ in index % 2 == 1 }
        }
        return question
    }

    private func fill(_ tokens: inout [Int32], to length: Int, _ random: inout SeededGenerator) {
        while tokens.count < length {
            tokens += tokenizer.encode(" " + RetrievalText.filler[random.below(RetrievalText.filler.count)])
        }
    }
}
