# SPDX-License-Identifier: Apache-2.0
"""Trains a small SentencePiece BPE tokenizer as Llama 2's was, writes it as a GGUF file, and what it makes of `lines.txt`.

Run from this folder:
    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install sentencepiece==0.2.3 gguf
    /tmp/golden/bin/python make_sentencepiece.py

`sentencepiece.gguf` has the vocabulary, scores and types; `sentencepiece.ids` has for each of the first 6,000 texts a uint16 count and that
many uint16 ids from the reference library, little-endian. Texts are those of `lines.txt`, each ending in a byte 0x1e.
"""
import io
import struct

import gguf
import sentencepiece

with open("lines.txt", "rb") as file:
    lines = [line.decode() for line in file.read().split(b"\x1e")[:-1]]
training = [line for line in lines if "\x00" not in line and 0 < len(line.encode()) < 4000]
model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(training), model_writer=model, vocab_size=3000, model_type="bpe", byte_fallback=True,
    normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, character_coverage=0.995,
    allow_whitespace_only_pieces=True, num_threads=1, minloglevel=2)
processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def kind(token):
    if processor.is_byte(token):
        return gguf.TokenType.BYTE
    if processor.is_control(token):
        return gguf.TokenType.CONTROL
    return gguf.TokenType.UNKNOWN if processor.is_unknown(token) else gguf.TokenType.NORMAL


writer = gguf.GGUFWriter("sentencepiece.gguf", "llama")
writer.add_tokenizer_model("llama")
writer.add_tokenizer_pre("default")
ids = range(processor.vocab_size())
writer.add_token_list([processor.id_to_piece(token) for token in ids])
writer.add_token_scores([processor.get_score(token) for token in ids])
writer.add_token_types([kind(token) for token in ids])
writer.add_bos_token_id(processor.bos_id())
writer.add_eos_token_id(processor.eos_id())
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.close()

with open("sentencepiece.ids", "wb") as file:
    for tokens in processor.encode(lines[:6000]):
        file.write(struct.pack(f"<H{len(tokens)}H", len(tokens), *tokens))
