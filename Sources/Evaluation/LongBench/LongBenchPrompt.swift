// SPDX-License-Identifier: Apache-2.0
import Tokenization

/// A record as the model sees it: a history that policies compress, and what comes after it.
struct LongBenchPrompt: Equatable {
    /// Everything up to the end of the context.
    let history: [Int32]
    /// The instruction, the input and the beginning of the answer's turn.
    let question: [Int32]

    /// Lays a record out in at most `limit` tokens, with the middle of its context left out where it is too long.
    ///
    /// - Throws: `TokenizerError` if the chat template refuses, ``EvaluationError`` if there is no room for a context.
    init(
        _ record: LongBenchRecord, task: LongBenchTask, tokenizer: Tokenizer, template: ChatTemplate, limit: Int
    ) throws {
        let (before, after) = try Self.frame(record, task, template)
        let start = [task.isRaw ? tokenizer.beginningOfText : nil].compactMap { $0 } + (try tokenizer.encode(before))
        question = try tokenizer.encode(after)
        let room = limit - start.count - question.count
        guard room > 0, !question.isEmpty else {
            throw EvaluationError.contextTooShort(needed: start.count + question.count + 1, limit: limit)
        }
        let context = tokenizer.encode(record.context)
        history = start + (context.count <= room ? context : context.prefix(room / 2) + context.suffix(room - room / 2))
    }

    /// What stands before the context and after it.
    private static func frame(
        _ record: LongBenchRecord, _ task: LongBenchTask, _ template: ChatTemplate
    ) throws -> ([PromptPiece], [PromptPiece]) {
        let introduction = task.introduction.isEmpty ? "" : task.introduction + "\n\n"
        let end = [task.instruction, record.input].filter { !$0.isEmpty }.joined(separator: "\n")
        if task.isRaw { return ([.text(introduction)], [.text(end.isEmpty ? "\n" : "\n" + end)]) }
        // A private-use character marks the context's place in what the template makes.
        let mark: Character = "\u{E000}"
        let plain = end.filter { $0 != mark }
        let pieces = try template.render([ChatMessage(role: .user, content: "\(introduction)\(mark)\n\n\(plain)")])
        guard
            let index = pieces.firstIndex(where: { if case .text(let text) = $0 { text.contains(mark) } else { false } }
            ),
            case .text(let text) = pieces[index], let place = text.firstIndex(of: mark)
        else { return (pieces, []) }
        let before = pieces[..<index] + [.text(String(text[..<place]))]
        return (Array(before), [.text(String(text[text.index(after: place)...]))] + pieces[(index + 1)...])
    }
}
