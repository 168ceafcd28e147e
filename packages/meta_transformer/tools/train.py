from mmrepro.engine.train import main

if __name__ == "__main__":
    main("meta_transformer")
