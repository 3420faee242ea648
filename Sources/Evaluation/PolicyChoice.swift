// SPDX-License-Identifier: Apache-2.0

/// A policy as users name it.
public enum PolicyChoice: Sendable, Equatable {
    case half
    case int8
    case kivi(bits: Int)
    case streaming(TokenBudget)
    case snapKV(TokenBudget)
    case quest(TokenBudget)
    case omniKV(TokenBudget)
    /// The engine's own attention to a share of the tokens.
    case sparse(percent: Int)
    /// The same of what the transform codec gives back, with the compressor of a file, or the one that belongs to the model.
    case sparseDeltaKV(percent: Int, file: String?)
    /// The transform codec, with the compressor of a file, or the one that belongs to the model.
    case deltaKV(DeltaKVPolicy.Form, file: String?)
    /// The paper's codec, likewise.
    case paper(PaperVariant, file: String?)

    /// What can be written, for help and errors.
    public static let summary =
        "f16, int8, kivi-intB (1 to 8 bits), streaming-N, snapkv-N (N tokens kept, or N% of them), quest-N, omnikv-N (read), "
        + "sparse-P% (as generated tokens attend in jobs), deltakv-sparse-P% (so where prompts are coded; =FILE too), "
        + "deltakv, deltakv-file (recent tokens coded too) and paper (also deltakv=FILE, paper=FOLDER; paper-all: no exact "
        + "layers; -f16, -g32, -sN, -kN: latents, "
        + "stride, neighbours)"

    /// Reads a name.
    ///
    /// - Throws: ``EvaluationError/unknownPolicy(_:)``.
    public init(_ text: String) throws(EvaluationError) {
        let sides = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let words = (sides.first ?? "").split(separator: "-", omittingEmptySubsequences: false)
        let file = sides.count == 2 ? String(sides[1]) : nil
        guard let choice = Self.choice(words, file: file), file != "" else { throw .unknownPolicy(text) }
        self = choice
    }

    private static func choice(_ words: [Substring], file: String?) -> PolicyChoice? {
        switch words.first {
        case "deltakv" where words.count == 1: return .deltaKV(.memory, file: file)
        case "deltakv" where words.dropFirst() == ["file"]: return .deltaKV(.file, file: file)
        case "deltakv" where words.count == 3 && words[1] == "sparse":
            return TokenBudget(words[2])?.percent.map { .sparseDeltaKV(percent: $0, file: file) }
        case "paper": return PaperVariant(words: words.dropFirst()).map { .paper($0, file: file) }
        default: break
        }
        guard file == nil, let name = words.first, words.count <= 2 else { return nil }
        let argument = words.count == 2 ? words[1] : nil
        switch (name, argument) {
        case ("f16", nil): return .half
        case ("int8", nil): return .int8
        case ("kivi", let argument?) where argument.hasPrefix("int"):
            return Int(argument.dropFirst(3)).flatMap { (1...8).contains($0) ? .kivi(bits: $0) : nil }
        default: break
        }
        guard let budget = argument.flatMap(TokenBudget.init) else { return nil }
        switch name {
        case "streaming": return .streaming(budget)
        case "snapkv": return .snapKV(budget)
        case "quest": return .quest(budget)
        case "omnikv": return .omniKV(budget)
        case "sparse": return budget.percent.map { .sparse(percent: $0) }
        default: return nil
        }
    }
}

/// How many tokens of a history: a number, or a share.
public enum TokenBudget: Sendable, Equatable, CustomStringConvertible, ExpressibleByIntegerLiteral {
    case tokens(Int)
    /// In percent.
    case percent(Int)

    /// Reads `512` or `11%`; nil for what is neither.
    init?(_ text: Substring) {
        if text.last == "%", let share = Int(text.dropLast()), (1...100).contains(share) {
            self = .percent(share)
        } else if let count = Int(text), count > 0 {
            self = .tokens(count)
        } else {
            return nil
        }
    }

    /// The share, if it is one.
    var percent: Int? {
        guard case .percent(let share) = self else { return nil }
        return share
    }

    /// As it was written.
    public var description: String {
        switch self {
        case .tokens(let count): "\(count)"
        case .percent(let share): "\(share)%"
        }
    }

    /// Tokens, as in code.
    public init(integerLiteral value: Int) { self = .tokens(value) }

    /// Tokens of a history of `count`.
    func of(_ count: Int) -> Int {
        switch self {
        case .tokens(let tokens): tokens
        case .percent(let share): max(1, count * share / 100)
        }
    }
}
