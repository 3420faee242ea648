// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A line of a LongBench file (Bai et al., LongBench, arXiv 2308.14508): a question about a long context.
public struct LongBenchRecord: Decodable, Sendable, Equatable {
    /// The question, instruction or beginning to complete; may be empty.
    public let input: String
    /// The long text.
    public let context: String
    /// Right answers; at least one.
    public let answers: [String]
    /// The data set's name, which decides how answers are scored.
    public let dataset: String
    /// All answers that there could be, where they are given.
    public let classes: [String]

    enum CodingKeys: String, CodingKey {
        case input, context, answers, dataset
        case classes = "all_classes"
    }

    /// Reads a record.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        input = try container.decodeIfPresent(String.self, forKey: .input) ?? ""
        context = try container.decode(String.self, forKey: .context)
        answers = try container.decode([String].self, forKey: .answers)
        dataset = try container.decode(String.self, forKey: .dataset)
        classes = try container.decodeIfPresent([String].self, forKey: .classes) ?? []
    }

    /// The records of a file, one JSON object a line; empty lines are skipped.
    ///
    /// - Parameter name: The file's name, for errors.
    /// - Throws: ``EvaluationError/invalidRecord(file:line:reason:)`` for the first line that cannot be used.
    public static func read(_ data: Data, name: String) throws(EvaluationError) -> [LongBenchRecord] {
        var records: [LongBenchRecord] = []
        for (index, line) in data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            guard line.contains(where: { $0 > UInt8(ascii: " ") }) else { continue }
            func refuse(_ reason: String) -> EvaluationError {
                .invalidRecord(file: name, line: index + 1, reason: reason)
            }
            let record: LongBenchRecord
            do {
                record = try JSONDecoder().decode(LongBenchRecord.self, from: Data(line))
            } catch DecodingError.keyNotFound(let key, _) {
                throw refuse("the field \"\(key.stringValue)\" is missing")
            } catch {
                throw refuse("it is no JSON object with input, context, answers and dataset")
            }
            guard !record.answers.isEmpty else { throw refuse("it has no answers") }
            guard !record.context.isEmpty else { throw refuse("its context is empty") }
            records.append(record)
        }
        return records
    }
}

/// How a data set's questions are asked and its answers scored. The wording is ours, so scores compare policies on one model,
/// not models across publications.
public struct LongBenchTask: Sendable, Equatable {
    /// How answers are scored.
    public let metric: AnswerMetric
    /// Most tokens of an answer.
    public let maxTokens: Int
    /// What stands before the context.
    let introduction: String
    /// What stands after the context, before the input.
    let instruction: String
    /// Whether only the answer's first line counts, as in few-shot tasks.
    let takesFirstLine: Bool
    /// Whether the prompt is continued as it is, without the chat template.
    let isRaw: Bool

    /// The task of a data set; names that are not known are taken for question answering.
    public init(dataset: String) {
        let name = dataset.hasSuffix("_e") ? String(dataset.dropLast(2)) : dataset
        switch name {
        case "gov_report", "qmsum", "multi_news", "vcsum", "samsum":
            self.init(
                .rougeL, name == "samsum" ? 128 : 512, "Read the following text.",
                name == "samsum" ? "Summarize the last dialogue." : "Write a summary of the text.",
                firstLine: name == "samsum")
        case "trec", "lsht":
            self.init(.accuracy, 64, "Classify as in the examples.", "", firstLine: true, raw: true)
        case "passage_count":
            self.init(
                .accuracy, 32, "Some of these paragraphs may be repeated.",
                "How many different paragraphs are there? Answer with the number only.")
        case "passage_retrieval_en", "passage_retrieval_zh":
            self.init(
                .accuracy, 32, "Here are paragraphs.", "Which paragraph is this a summary of? Answer like: Paragraph 1."
            )
        case "lcc", "repobench-p":
            self.init(.editSimilarity, 64, "", "", raw: true)
        case "triviaqa":
            self.init(.f1, 32, "Answer as in the examples.", "", firstLine: true, raw: true)
        default:
            self.init(
                .f1, name == "narrativeqa" || name == "qasper" ? 128 : 64, "Read the following text.",
                "Answer the question in a few words.")
        }
    }

    private init(
        _ metric: AnswerMetric, _ maxTokens: Int, _ introduction: String, _ instruction: String,
        firstLine: Bool = false,
        raw: Bool = false
    ) {
        self.metric = metric
        self.maxTokens = maxTokens
        self.introduction = introduction
        self.instruction = instruction
        takesFirstLine = firstLine
        isRaw = raw
    }

    /// The score of an answer, from 0 to 1.
    public func score(_ answer: String, of record: LongBenchRecord) -> Double {
        let trimmed = answer.drop { $0.isWhitespace }
        let text = takesFirstLine ? String(trimmed.prefix { !$0.isNewline }) : String(trimmed)
        return metric.score(text, references: record.answers, classes: record.classes)
    }
}
