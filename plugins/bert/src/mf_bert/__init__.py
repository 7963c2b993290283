"""BERT, RoBERTa and DistilBERT for mf-framework."""
